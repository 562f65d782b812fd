"""The process that the user runs: it starts the system in another one, and leaves nothing behind, however that ends.

What ends a system may end all of it at once: `timeout` and terminals send their signals to a whole process group, a
Ray that is gone takes its clients with it or makes them wait. So the system runs in a session of its own, which no
signal for this process's group reaches, under a process that knows no Ray, cannot be made to wait by one, and ends
what is left by the mark of the run.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from api.cli import exits
from api.cli.run import own_environment, runs

# The last resort: the system bounds each step of its stopping by itself, and these bounds end before this one does.
STOP_S = 90.0
# Whoever passes signals on, such as a script at a terminal, has the same request come twice.
_AGAIN_S = 0.5

_STOP = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_PR_SET_PDEATHSIG = 1


def run(state: Path, work: Callable[[], object]) -> int:
    """Do `work` in a process of its own, with the state folder to itself. Gives the exit code, as `exits` says it.

    A signal that asks this process to stop is passed on, as SIGTERM. A second one, a moment later, stops everything at
    once. Raises StartError while another process has the folder.
    """
    own_environment.hide()
    with runs.claimed(state):
        # For good: this process ends next, and who is impatient does not cut that short.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP | {signal.SIGCHLD})
        parent = os.getpid()
        _flush()
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _be_the_system(parent, work)
        try:
            return _end_of(child)
        finally:
            runs.clear(state)


def _be_the_system(parent: int, work: Callable[[], object]) -> None:
    """Does not return: nothing of the interpreter's own ending may wait for a thread that waits for a lost Ray."""
    code = exits.FAILED
    try:
        os.setsid()
        _die_with(parent)
        code = exits.code_of(work)
    except Exception:  # noqa: BLE001 - what nobody foresaw, as the interpreter would show it
        sys.excepthook(*sys.exc_info())
    finally:
        _flush()
        os._exit(code)


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, as far as the kernel does such things."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(exits.FAILED)


def _end_of(child: int) -> int:
    """The exit code, once the child has ended. It is told to stop when we are, and killed when it does not."""
    asked_s: float | None = None
    while True:
        if (status := _reaped(child)) is not None:
            return _code_of(status)
        wait_s = STOP_S if asked_s is None else max(0.0, asked_s + STOP_S - time.monotonic())
        received = signal.sigtimedwait(_STOP | {signal.SIGCHLD}, wait_s)
        asks = received is not None and received.si_signo in _STOP
        if asked_s is None:
            if asks:
                asked_s = time.monotonic()
                os.kill(child, signal.SIGTERM)
        elif received is None:
            exits.say(f"the system did not stop within {STOP_S:.0f} s, and was killed")
            return _killed(child, exits.FAILED)
        elif asks and time.monotonic() - asked_s > _AGAIN_S:
            exits.say("asked again: stopping at once; what runs goes on at the next start")
            return _killed(child, exits.INTERRUPTED)


def _reaped(child: int) -> int | None:
    """The child's status, if it has ended.

    In a container this may be the first process, which inherits every other one whose parent has ended.
    """
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            return status
        if not pid:
            return None


def _killed(child: int, code: int) -> int:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return code


def _code_of(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    exits.say(f"the system's process was ended by {signal.Signals(-code).name}")
    return exits.FAILED


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
