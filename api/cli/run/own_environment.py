"""What others may read of this process's environment: nothing.

A process's environment lies where it was when the process began, for as long as it runs: whoever may look at its
`/proc/PID/environ` reads what has been taken out of `os.environ` long ago. An admin key and a database's password may
have been there.
"""

import ctypes
import os
import sys
from pathlib import Path

# The fields of /proc/PID/stat after the process's name, which may have spaces in it: proc(5), where they are 50 and 51.
_ENV_START, _ENV_END = 47, 48


def hide() -> None:
    """Move the environment elsewhere in memory, and overwrite where it was. What is in it stays, for this process.

    Only Linux shows it to others.
    """
    if sys.platform != "linux":
        return
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    for name, value in os.environ.items():
        os.putenv(name, value)
    ctypes.memset(start, 0, end - start)
