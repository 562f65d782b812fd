"""What a process leaves behind when it is killed: the processes that it started."""

import os
import subprocess

# It holds the pipe's other end, reads nothing, and goes on when the process at this end is gone.
_AFTERWARDS = 'read -r _; kill -s KILL -- "-$0"'

_watchers: list[subprocess.Popen[bytes]] = []


def end_with_this_process() -> None:
    """However this process ends, end all that is in the process group that it leads, at once.

    A small process outside the group sees to it. Nobody else on the machine may know that they are there.
    """
    if os.getpgrp() != os.getpid():
        raise RuntimeError("only who leads a process group can have it ended")
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", _AFTERWARDS, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Let go of, its pipe would be closed.
    _watchers.append(watcher)
