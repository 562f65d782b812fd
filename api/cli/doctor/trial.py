"""A system of its own, from nothing to nothing: started as a user starts one, asked for a job, and stopped."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from api.cli.client import Client
from api.cli.connection import read
from api.cli.doctor import job
from api.cli.doctor.findings import Finding, fault, ok
from api.cli.run.ports import free_port

_AREA = "trial"
_MODEL = "capitals"
_READY = f"Model {_MODEL}: ready"
_FAILED = (f"Model {_MODEL}: failed", "infernet: ")
_START_S = 300.0
_STOP_S = 100.0
_LOGS = "`infernet up` says the same, and leaves its logs in its state folder"
_PROGRAM = "from api.cli.main import main; main()"


def run(env: Mapping[str, str]) -> Iterator[Finding]:
    """Start a system with the built-in model and nothing of the user's: neither settings nor database."""
    with tempfile.TemporaryDirectory(prefix="infernet-doctor-") as folder, _started(Path(folder), env) as process:
        began_s = time.monotonic()
        reason = _wait(process)
        if reason is not None:
            yield fault(_AREA, f"it did not start: {reason}", _LOGS)
            return
        yield ok(_AREA, f"a system of its own with model {_MODEL} was ready after {time.monotonic() - began_s:.1f} s")
        connection = read(Path(folder))
        assert connection is not None
        with Client(connection) as client:
            yield from job.run(client)
        began_s = time.monotonic()
        code = _stopped(process)
        if code:
            yield fault(_AREA, f"it ended with exit code {code}", _LOGS)
        else:
            yield ok(_AREA, f"it stopped after {time.monotonic() - began_s:.1f} s, and left nothing behind")


@contextmanager
def _started(folder: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    own = {name: value for name, value in env.items() if not name.startswith("INFERNET_")}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "up", "--state", str(folder), "--port", str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**own, "PYTHONUNBUFFERED": "1"},
        # A Ctrl-C at the terminal comes to the doctor, who passes it on once.
        process_group=0,
    )
    try:
        yield process
    finally:
        _stopped(process)


def _wait(process: subprocess.Popen[str]) -> str | None:
    """Until the model is ready; else why it is not."""
    lines: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_read, args=(process, lines), daemon=True).start()
    give_up_s = time.monotonic() + _START_S
    last = "it said nothing"
    while True:
        try:
            line = lines.get(timeout=max(0.0, give_up_s - time.monotonic()))
        except Empty:
            return f"it took longer than {_START_S:.0f} s; its last words: {last}"
        if line is None:
            return last
        if line.startswith(_READY):
            return None
        if line.startswith(_FAILED):
            return line
        # The key of it is nobody's business, though it ends with the system.
        last = line if "inft_" not in line else last


def _read(process: subprocess.Popen[str], lines: "SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    with process.stdout as printed:
        for line in printed:
            lines.put(line.strip())
    lines.put(None)


def _stopped(process: subprocess.Popen[str]) -> int:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGINT)
        try:
            return process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
