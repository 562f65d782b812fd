"""What a process leaves behind when it is killed: the processes that it started, and shared memory."""

import logging
import os
import subprocess
from multiprocessing import resource_tracker

logger = logging.getLogger(__name__)

# It holds the pipe's other end, reads nothing, and goes on when the process at this end is gone.
_AFTERWARDS = 'read -r _; kill -s KILL -- "-$0"'

_watchers: list[subprocess.Popen[bytes]] = []


def end_with_this_process() -> None:
    """However this process ends, end at once all that it will have started, and free their shared memory.

    It leads a process group from now on, and a small process outside sees to that group: nobody else on the machine may
    know of it. Python's own tracker of shared memory, which frees what is left once all that used it have ended, is
    not in that group.
    """
    _start_tracker()
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", _AFTERWARDS, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Let go of, its pipe would be closed.
    _watchers.append(watcher)


def _start_tracker() -> None:
    """Start it in the parent's group: this process joins that for the moment, for whatever it starts is in its own."""
    if os.getpgrp() == os.getpid():
        try:
            os.setpgid(0, os.getpgid(os.getppid()))
        except PermissionError:  # the parent is in another session
            logger.warning("shared memory will not be freed if this process is killed")
    resource_tracker.ensure_running()
