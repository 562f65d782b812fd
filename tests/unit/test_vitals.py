"""What the kernel says of real processes, and that only the process that was meant is ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from actors.machine import vitals
from cluster.liveness.silence import Silence, Vitals
from cluster.timing import Timing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
QUICK = Timing(pulse_s=0.1, stopped_s=0.2, stuck_s=0.4)
WAIT_S = 20.0
DEADLOCKED = "import threading; lock = threading.Lock(); lock.acquire(); print(flush=True); lock.acquire()"
BUSY = "print(flush=True)\nwhile True: pass"


@contextmanager
def running(script: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that has said that it is where it is to be."""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def read(process: subprocess.Popen[bytes]) -> Vitals:
    seen = vitals.read(process.pid, process.pid)
    assert seen is not None
    return seen


def until(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(QUICK.pulse_s)


def test_a_stopped_process_is_seen_to_hang() -> None:
    with running(BUSY) as process:
        process.send_signal(signal.SIGSTOP)
        silence = Silence(QUICK)
        until(lambda: silence.hangs(read(process), time.monotonic()))


def test_a_deadlocked_process_is_seen_to_hang() -> None:
    with running(DEADLOCKED) as process:
        silence = Silence(QUICK)
        until(lambda: silence.hangs(read(process), time.monotonic()))


def test_a_busy_process_is_not() -> None:
    with running(BUSY) as process:
        silence, began = Silence(QUICK), read(process)
        until(lambda: not silence.hangs(seen := read(process), time.monotonic()) and seen.busy_s > began.busy_s + 0.5)


def test_only_the_process_that_was_seen_is_ended() -> None:
    with running(DEADLOCKED) as process:
        seen = read(process)
        vitals.kill(replace(seen, born_s=seen.born_s - 1))
        assert process.poll() is None
        vitals.kill(seen)
        assert process.wait(WAIT_S) == -signal.SIGKILL
        vitals.kill(seen)


def test_what_does_not_run_has_no_vitals() -> None:
    with running(DEADLOCKED) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert vitals.read(process.pid) is None  # ended, and its parent has not been told yet
    assert vitals.read(process.pid) is None
