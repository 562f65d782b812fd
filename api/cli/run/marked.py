"""The processes of one run, found by a mark in their environment.

Ray's workers, HAProxy and vLLM's engine cores can each outlive the process that should have ended them. All inherit
the environment of the run that started them, so a run can end exactly what is its own, also what a killed run before
it left behind.
"""

import logging
import os

import psutil

MARK = "INFERNET_RUN"
_GRACE_S = 5.0

logger = logging.getLogger(__name__)


def processes(run: str) -> list[psutil.Process]:
    """The processes of this run, without the one that asks."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _run_of(process) == run]


def end(run: str) -> int:
    """End every process of this run, gently first. Returns how many there were."""
    found = processes(run)
    for process in found:
        _send(process, psutil.Process.terminate)
    _, alive = psutil.wait_procs(found, timeout=_GRACE_S)
    for process in alive:
        _send(process, psutil.Process.kill)
    psutil.wait_procs(alive, timeout=_GRACE_S)
    return len(found)


def _run_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        # Another user's process, or one that has just ended.
        return None


def _send(process: psutil.Process, signal: object) -> None:
    try:
        signal(process)  # type: ignore[operator]
    except psutil.NoSuchProcess:
        return
