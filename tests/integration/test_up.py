"""`infernet up` starts, refuses, and stops as it promises, and leaves nothing behind."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from api.cli.connection import Connection
from api.cli.run import runs
from api.cli.run.ports import free_port
from tests.support.serving import INFERNET, Serving

SLOW = {
    "models": [
        {"id": "sim:slow", "backend": "simulated", "engine": {"token_s": 0.05, "output_tokens": 40, "first_token_s": 0}}
    ]
}


@pytest.fixture
def started() -> Iterator[list[Serving]]:
    systems: list[Serving] = []
    yield systems
    for system in systems:
        system.end()


def refused(folder: Path, *flags: str) -> str:
    """What `infernet up` says when it does not start: one line, exit code 1, no process and no port left."""
    done = subprocess.run(
        [INFERNET, "up", "--state", str(folder / "state"), *flags], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert not (folder / "state" / "run.json").exists()
    (line,) = done.stderr.strip().splitlines()
    return line


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert (
            refused(tmp_path, "--port", port) == f"infernet: cannot listen on 127.0.0.1:{port}: Address already in use"
        )


def test_a_bad_config_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("server:\n  port: none\n")
    line = refused(tmp_path, "--config", str(config))
    assert line.startswith(f"infernet: {config}:2:3: server.port: must be")


def test_bad_options_of_a_simulated_model_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("models: [{id: sim, backend: simulated, engine: {tokens: 3}}]\n")
    line = refused(tmp_path, "--config", str(config))
    assert line.startswith(f"infernet: {config}:1:49: models[0].engine.tokens: unknown option of the simulated backend")


def test_a_model_without_room_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    config = tmp_path / "big.yaml"
    config.write_text("models: [{id: big, backend: simulated, gpus: 64}]\n")
    line = refused(tmp_path, "--config", str(config))
    assert line.startswith("infernet: no room for model big: needs 64 GPUs")
    # The only admin key of the database that was made is not lost with the start.
    assert json.loads((tmp_path / "state" / "connection.json").read_text())["key"].startswith("inft_")


def test_a_killed_run_does_not_block_the_next_and_its_job_ends_there(
    tmp_path: Path, started: list[Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Serving(tmp_path, SLOW).wait_until_ready("sim:slow")
    started.append(first)
    run = first.run
    first_key = first.connection.key
    with first.client() as client:
        job_id = client.submit({"model": "sim:slow", "messages": [{"role": "user", "content": "survive"}]})["id"]
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    left = [process for process in runs.processes(run) if process.name() == "haproxy"]
    assert left, "a killed run is expected to leave HAProxy behind: this test is about the start after it"

    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")  # where nobody is; not for this machine
    second = Serving(tmp_path, SLOW, "--host", "::", port=first.port).wait_until_ready("sim:slow")
    started.append(second)
    assert second.connection == Connection(f"http://[::1]:{first.port}", first_key)
    assert psutil.wait_procs(left, timeout=5)[1] == []
    with second.client() as client:
        text = "".join(client.follow(job_id))
        job = client.job(job_id)
    assert job["result"]["content"] == text
    assert job["result"]["usage"]["completion_tokens"] == 40

    # The same state folder cannot serve twice.
    beside = [INFERNET, "up", "--state", str(second.state), "--port", str(free_port())]
    done = subprocess.run(beside, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "another `infernet up` uses the state folder" in done.stderr) == (1, True)
    # Nor can one database, whatever else is another.
    config = tmp_path / "beside.yaml"
    config.write_text(yaml.safe_dump({**SLOW, "database": f"sqlite:///{second.state / 'infernet.db'}"}))
    line = refused(tmp_path / "beside", "--config", str(config), "--port", str(free_port()))
    assert line.startswith("infernet: Another system uses the database sqlite:///")
    assert second.stop(signal.SIGTERM) == 0
