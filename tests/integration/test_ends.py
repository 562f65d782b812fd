"""However the system ends, `infernet up` ends soon after it, says how, and leaves no process, file or port behind."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from api.cli.run import runs
from tests.support.serving import Serving

SETTINGS = {"server": {"replicas": 1}, "models": [{"id": "sim:end", "backend": "simulated"}]}
# On a machine with nothing else to do these are about ten and five seconds.
STOPPED_S = 45.0


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    system = Serving(tmp_path, SETTINGS)
    try:
        yield system.wait_until_ready("sim:end")
    finally:
        system.end()


def assert_ends(serving: Serving, run: str, code: int) -> None:
    began_s = time.monotonic()
    assert serving.process.wait(STOPPED_S) == code
    print(f"ended after {time.monotonic() - began_s:.1f} s")
    assert runs.processes(run) == []
    assert not Path(run).exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", serving.port))


def system_of(serving: Serving) -> psutil.Process:
    """The process that `infernet up` runs the system in."""
    (system,) = psutil.Process(serving.process.pid).children()
    return system


def test_a_signal_for_the_whole_process_group(serving: Serving) -> None:
    run = serving.run
    os.killpg(os.getpgid(serving.process.pid), signal.SIGTERM)
    assert_ends(serving, run, 0)


def test_a_signal_for_every_process(serving: Serving) -> None:
    """As systemd sends it, unless told otherwise: to all of the control group, whatever their sessions are."""
    run = serving.run
    for process in [*runs.processes(run), system_of(serving), psutil.Process(serving.process.pid)]:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    began_s = time.monotonic()
    code = serving.process.wait(STOPPED_S)
    print(f"ended with {code} after {time.monotonic() - began_s:.1f} s")
    assert runs.processes(run) == []


def test_a_serve_controller_that_hangs(serving: Serving) -> None:
    run = serving.run
    (controller,) = serving.actors("ServeController")
    controller.suspend()
    serving.process.terminate()
    assert_ends(serving, run, 0)


@pytest.mark.parametrize("lost", ["raylet", "gcs_server"])
def test_a_ray_that_is_gone(lost: str, serving: Serving) -> None:
    run = serving.run
    (process,) = [process for process in runs.processes(run) if process.name() == lost]
    process.kill()
    assert_ends(serving, run, 1)
    assert "Ray has gone" in "".join(serving.lines)


def test_its_own_process_that_is_killed(serving: Serving) -> None:
    run = serving.run
    system_of(serving).kill()
    assert_ends(serving, run, 1)
    assert "was ended by SIGKILL" in "".join(serving.lines)
