"""A secret that a process was started with is not to be read where the kernel shows how it was started."""

import os
import subprocess
import sys

SCRIPT = """
import ctypes, os, subprocess, sys
from pathlib import Path
from api.cli.run import own_environment

assert "hush" in Path("/proc/self/environ").read_text()
own_environment.hide()
assert not Path("/proc/self/environ").read_text().strip("\\0")
# For this process, for its libraries and for those that it starts, nothing has changed.
assert os.environ["SECRET"] == "hush"
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
assert getenv(b"SECRET") == b"hush"
assert getenv(b"EMPTY") == b""
print(subprocess.run(["env"], capture_output=True, text=True, check=True).stdout, end="")
pid = os.fork()
if pid == 0:
    os._exit(0 if not Path("/proc/self/environ").read_text().strip("\\0") else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_it_is_hidden_and_still_there() -> None:
    env = {**os.environ, "SECRET": "hush", "EMPTY": "", "WITH": "=a=\n b"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 0
    assert {"SECRET=hush", "EMPTY=", "WITH==a="} <= set(done.stdout.splitlines())
