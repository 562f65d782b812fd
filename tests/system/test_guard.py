"""The process that the user runs ends as the system's does, is not outlived by it, and leaves nothing of its run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from api.cli.run import runs

WAIT_S = 30.0

# What the system does: say where it is, then this. Its run has one more process, which ignores requests to end.
SCRIPT = """
import os, signal, subprocess, sys, time
from pathlib import Path
from api.cli.run import guard, runs
from cluster.errors import StartError, SystemLost
runs._GRACE_S = 0.3
state = Path(sys.argv[1])

def work():
    temp = state / "temp"
    temp.mkdir()
    runs.record(state, temp, state / "logs" / "now")
    more = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    env = {**os.environ, runs.MARK: str(temp)}
    left = subprocess.Popen([sys.executable, "-c", more], env=env, stdout=subprocess.PIPE)
    left.stdout.readline()
    %s
    print("system", os.getpid(), flush=True)
    %s

sys.exit(guard.run(state, work))
"""
# What a request to stop is to it, and what it does. A handler in Python would be called too late where the request
# comes just before the pause: it waits for a signal that is blocked, and so kept.
AS_EVER = "signal.signal(signal.SIGTERM, signal.SIG_DFL)"
KEPT = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"
ENDS = (AS_EVER, "pass")
WAITS = (KEPT, "signal.sigwait({signal.SIGTERM})")
STUBBORN = ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "signal.pause()")
IMPATIENT = "guard.STOP_S = 1.0\n"
REFUSES = (AS_EVER, 'raise StartError("no room for model big")')
FAILS = (AS_EVER, 'raise ValueError("nobody foresaw this")')


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    for process in runs.processes(str(tmp_path / "temp")):
        process.kill()


def start(state: Path, what: tuple[str, str], before: str = "") -> tuple[subprocess.Popen[str], int]:
    """The user's process, and the system's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.replace("\nstate", f"\n{before}state") % what, str(state)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline().split()[1])


def ended(process: subprocess.Popen[str], state: Path) -> tuple[int, str]:
    """Exit code, and what was said of a failure. Nothing is left."""
    _, failed = process.communicate(timeout=WAIT_S)
    assert runs.processes(str(state / "temp")) == []
    assert not (state / "temp").exists()
    assert not (state / "run.json").exists()
    return process.returncode, failed


def test_it_ends_as_the_system_does(tmp_path: Path) -> None:
    assert ended(start(tmp_path, ENDS)[0], tmp_path) == (0, "")


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    assert ended(start(tmp_path, REFUSES)[0], tmp_path) == (1, "infernet: no room for model big\n")


def test_what_nobody_foresaw_is_told_as_ever(tmp_path: Path) -> None:
    code, failed = ended(start(tmp_path, FAILS)[0], tmp_path)
    assert code == 1
    assert failed.startswith("Traceback")
    assert failed.endswith("ValueError: nobody foresaw this\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_for_the_group_reaches_the_system_as_a_request(number: signal.Signals, tmp_path: Path) -> None:
    process, system = start(tmp_path, WAITS)
    assert os.getsid(system) == system
    os.killpg(process.pid, number)
    assert ended(process, tmp_path) == (0, "")


def test_a_system_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    process, _ = start(tmp_path, STUBBORN, IMPATIENT)
    process.terminate()
    code, failed = ended(process, tmp_path)
    assert code == 1
    assert failed.startswith("infernet: the system did not stop within 1 s, and was killed")


def test_who_asks_twice_does_not_wait(tmp_path: Path) -> None:
    process, _ = start(tmp_path, STUBBORN, "guard._AGAIN_S = 0.0\n")
    process.send_signal(signal.SIGINT)
    while "ShdPnd:\t0000000000000000" not in Path(f"/proc/{process.pid}/status").read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, failed = ended(process, tmp_path)
    assert (code, failed) == (
        130,
        "infernet: asked again: stopping at once; what runs goes on at the next start\n",
    )


def test_a_request_that_comes_twice_at_once_is_one(tmp_path: Path) -> None:
    process, _ = start(tmp_path, WAITS, "guard._AGAIN_S = 60.0\n")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert ended(process, tmp_path) == (0, "")


def test_a_system_that_is_killed_is_told_of(tmp_path: Path) -> None:
    process, system = start(tmp_path, WAITS)
    os.kill(system, signal.SIGKILL)
    assert ended(process, tmp_path) == (1, "infernet: the system's process was ended by SIGKILL\n")


def test_the_system_does_not_outlive_the_user_s_process_and_the_next_run_finds_the_rest(tmp_path: Path) -> None:
    process, system = start(tmp_path, STUBBORN)
    watched = psutil.Process(system)
    process.kill()
    process.wait()
    watched.wait(WAIT_S)
    assert len(runs.processes(str(tmp_path / "temp"))) == 1
    assert ended(start(tmp_path, ENDS)[0], tmp_path)[0] == 0
    process.communicate()


def test_one_at_a_time(tmp_path: Path) -> None:
    first, _ = start(tmp_path, WAITS)
    second = subprocess.run(
        [sys.executable, "-c", SCRIPT % ENDS, str(tmp_path)], capture_output=True, text=True, timeout=WAIT_S
    )
    assert second.returncode == 1
    assert "another `infernet up` uses the state folder" in second.stderr
    assert len(runs.processes(str(tmp_path / "temp"))) == 1
    first.terminate()
    assert ended(first, tmp_path)[0] == 0
