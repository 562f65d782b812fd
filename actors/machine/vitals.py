"""What Linux says of a process of this machine."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from cluster.liveness.silence import Vitals

_NS = 1e9
# Runs or stands in line; waits for a disk or for memory.
_HINDERED = "RD"
_TASKS = "/proc/{}/task"
# Kernels may be built without it.
_TELLS_QUEUES = Path("/proc/self/schedstat").exists()


def read(pid: int, thread: int | None = None) -> Vitals | None:
    """The process as it is now; `thread` is the one that answers for it. None when there is no such process."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            state, born_s = process.status(), process.create_time()
        tasks = [Path(task) for task in Path(_TASKS.format(pid)).iterdir()]
    except (psutil.Error, OSError):
        return None
    if state == psutil.STATUS_ZOMBIE:
        return None
    states, times = "", {}
    for task in tasks:
        with suppress(OSError):  # this thread has ended meanwhile
            states += _state(task)
            times[int(task.name)] = _times(task)
    answering = [times[thread]] if thread in times else list(times.values())
    return Vitals(
        pid,
        born_s,
        stopped=state == psutil.STATUS_STOPPED,
        busy_s=sum(busy_s for busy_s, _ in answering),
        queued_s=sum(queued_s for _, queued_s in times.values()) if _TELLS_QUEUES else None,
        hindered=any(state in _HINDERED for state in states),
    )


def kill(vitals: Vitals) -> None:
    """End this process, at once and without asking it: a stopped one answers to nothing else. No other by its pid."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(vitals.pid)
        if process.create_time() == vitals.born_s:
            os.kill(vitals.pid, signal.SIGKILL)


def _times(task: Path) -> tuple[float, float]:
    """Seconds on a processor, and in line for one."""
    if not _TELLS_QUEUES:
        return 0.0, 0.0
    busy_ns, queued_ns, _ = (task / "schedstat").read_text().split()
    return int(busy_ns) / _NS, int(queued_ns) / _NS


def _state(task: Path) -> str:
    # The name before it is in parentheses, and may hold any character.
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
