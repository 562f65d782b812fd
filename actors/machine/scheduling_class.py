"""How Linux schedules processes here: those of a model in the ordinary class, everything around them as batch work."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

# None where the system is not Linux.
_BATCH: int | None = getattr(os, "SCHED_BATCH", None)
_ORDINARY: int | None = getattr(os, "SCHED_OTHER", None)
_THIS_THREAD = 0


def use_batch() -> None:
    """Schedule this process, and those it starts from now on, as batch work: they wait rather than interrupt others.

    A control plane wakes up thousands of times a second for a fraction of a millisecond. As an ordinary process it
    would take the core from the model each time, also where another one is free a moment later. On Linux this is
    the scheduling policy `SCHED_BATCH`, which anybody may choose; other systems are left as they are.
    """
    _schedule(_thread_ids(), _BATCH)


@contextmanager
def ordinary() -> Iterator[None]:
    """Processes that the calling thread starts meanwhile, such as a model's, are in the ordinary class."""
    before = os.sched_getscheduler(_THIS_THREAD) if _BATCH is not None else None
    _schedule([_THIS_THREAD], _ORDINARY)
    try:
        yield
    finally:
        _schedule([_THIS_THREAD], before)


def restore_priority() -> bool:
    """Give this process, and those it starts from now on, the normal niceness of 0. True when it has it.

    Ray starts workers at nice 15, which costs vLLM a good part of its speed wherever something else runs.
    Only a privileged process may lower its niceness; `RAY_worker_niceness=0` does without.
    """
    try:
        for thread in _thread_ids():
            os.setpriority(os.PRIO_PROCESS, thread, 0)
    except PermissionError:
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        log.warning("running at nice %d: not permitted to change it; set RAY_worker_niceness=0", niceness)
    return os.getpriority(os.PRIO_PROCESS, 0) <= 0


def _schedule(threads: Iterable[int], policy: int | None) -> None:
    if policy is None:
        return
    try:
        for thread in threads:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setscheduler(thread, policy, os.sched_param(0))
    except OSError as error:
        log.warning("a scheduling policy is refused (%s): models are slower than they could be", error.strerror)


def _thread_ids() -> list[int]:
    """Every thread of this process: on Linux, niceness and policy belong to a thread."""
    tasks = Path("/proc/self/task")
    return [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]
