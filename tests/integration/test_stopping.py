"""`infernet up` stops within its limit whoever reads on, and at once when it is asked again, and leaves nothing."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from api.cli.run import guard, runs
from tests.support.serving import Serving

pytestmark = pytest.mark.long

STREAMS = 20
ENDLESS = {
    "models": [
        {
            "id": "sim",
            "backend": "simulated",
            "engine": {"token_s": 0.05, "output_tokens": 4000, "first_token_s": 0, "batch_slots": STREAMS},
        }
    ]
}
JOB = {"model": "sim", "messages": [{"role": "user", "content": "On and on"}], "max_tokens": 4000}
# What was asked to drain does so for 20 s, and then the rest is stopped.
DRAIN_S = 20.0


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Serving]:
    """A system with open streams whose jobs do not end by themselves."""
    system = Serving(tmp_path, ENDLESS)
    with ExitStack() as stack:
        stack.callback(system.end)
        system.wait_until_ready("sim")
        for _ in range(STREAMS):
            stack.enter_context(reading(system))
        yield system


@contextmanager
def reading(system: Serving) -> Iterator[None]:
    """Somebody who reads a stream until it breaks off, from its first words on."""
    begun = threading.Event()

    def read() -> None:
        try:
            with (
                system.http() as client,
                client.stream("POST", "/api/v1/jobs", json={**JOB, "stream": True}) as answer,
            ):
                for _ in answer.iter_lines():
                    begun.set()
        except httpx.HTTPError:
            return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert begun.wait(30.0)
        yield
    finally:
        thread.join(guard.STOP_S)


def test_under_load_it_is_not_ready_and_ends_within_its_limit(busy: Serving) -> None:
    run, asked_s = busy.run, time.monotonic()
    busy.process.send_signal(signal.SIGTERM)
    with busy.http() as client:
        until(lambda: client.get("/readyz").status_code == 503)
        refused = client.post("/api/v1/jobs", json=JOB)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert busy.process.wait(guard.STOP_S) == 0
    assert DRAIN_S <= time.monotonic() - asked_s < guard.STOP_S
    assert nothing_left(run)


def test_asked_again_it_stops_at_once(busy: Serving) -> None:
    run = busy.run
    busy.process.send_signal(signal.SIGINT)
    with busy.http() as client:
        until(lambda: client.get("/readyz").status_code == 503)
    time_s = time.monotonic()
    # The request that comes within half a second is taken for the same.
    while busy.process.poll() is None:
        busy.process.send_signal(signal.SIGINT)
        try:
            busy.process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert busy.process.returncode == 130
    assert time.monotonic() - time_s < DRAIN_S
    assert nothing_left(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_all_its_processes_signalled_at_once_leave_nothing(number: signal.Signals, busy: Serving) -> None:
    """As systemd does with `KillMode=control-group`. After SIGKILL, the next start ends what is left."""
    run = busy.run
    for process in busy.processes():
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
    busy.process.wait(guard.STOP_S)
    if number == signal.SIGKILL:
        # One that was killed last may have started another by then.
        runs.clear(busy.state)
    assert nothing_left(run)


def nothing_left(run: str) -> bool:
    return runs.processes(run) == [] and not Path(run).exists()


def until(true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + DRAIN_S
    while not true():
        assert time.monotonic() < give_up_s
