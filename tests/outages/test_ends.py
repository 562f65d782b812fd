"""However the system ends, `infernet up` ends soon after it, says how, and leaves no process, file or port behind.

What needs no Ray to be seen is in tests/system/test_guard.py.
"""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from api.cli.run import runs
from tests.support.serving import Serving

SETTINGS = {"server": {"replicas": 1}, "models": [{"id": "sim:end", "backend": "simulated"}]}
# About ten, where nothing else runs.
STOPPED_S = 45.0


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    system = Serving(tmp_path, SETTINGS)
    try:
        yield system.wait_until_ready("sim:end")
    finally:
        system.end()


def assert_ends(serving: Serving, run: str, code: int) -> None:
    assert serving.process.wait(STOPPED_S) == code
    assert runs.processes(run) == []
    assert not Path(run).exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", serving.port))


def system_of(serving: Serving) -> psutil.Process:
    """The process that `infernet up` runs the system in."""
    (system,) = psutil.Process(serving.process.pid).children()
    return system


def test_a_signal_for_every_process(serving: Serving) -> None:
    """As systemd sends it, unless told otherwise: to all of the control group, whatever their sessions are."""
    run = serving.run
    for process in [*runs.processes(run), system_of(serving), psutil.Process(serving.process.pid)]:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    # Whether it could stop as it should, or found that Ray had ended first, is decided by who is quicker.
    assert_ends(serving, run, serving.process.wait(STOPPED_S))


@pytest.mark.long
def test_a_serve_controller_that_hangs(serving: Serving) -> None:
    run = serving.run
    (controller,) = serving.actors("ServeController")
    controller.suspend()
    serving.process.terminate()
    assert_ends(serving, run, 0)


@pytest.mark.parametrize("lost", ["raylet", pytest.param("gcs_server", marks=pytest.mark.long)])
def test_a_ray_that_is_gone(lost: str, serving: Serving) -> None:
    run = serving.run
    (process,) = [process for process in runs.processes(run) if process.name() == lost]
    process.kill()
    assert_ends(serving, run, 1)
    serving.wait_for("infernet: Ray has gone")
