"""A run's processes are known by their mark, and all of them are ended."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from api.cli.run import runs

# Starts another in its place when it is told to end, as a keeper of processes does.
RESTARTING = """
import os, signal, subprocess, sys
def restart(*_):
    subprocess.Popen([sys.executable, "-c", "import signal; print(flush=True); signal.pause()"], start_new_session=True)
    os._exit(0)
signal.signal(signal.SIGTERM, restart)
print(flush=True)
while True: signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    for process in runs.processes(str(tmp_path)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def start(script: str, mark: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, runs.MARK: mark}
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_all_of_a_run_are_ended_and_nobody_else(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_GRACE_S", 0.5)
    mine, stubborn, other = start(RESTARTING, mark), start(STUBBORN, mark), start(STUBBORN, f"{mark}-other")
    try:
        assert runs.end(mark) == 2
        assert runs.processes(mark) == []
        assert other.poll() is None
    finally:
        for process in (mine, stubborn, other):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_nothing_to_end_takes_no_time(mark: str) -> None:
    began_s = time.monotonic()
    assert runs.end(mark) == 0
    assert time.monotonic() - began_s < runs._GRACE_S
