"""`infernet keep` on the head of a Ray cluster: what ends there is started again, until Ray itself has ended."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from actors.backends.simulated import simulated_text
from api.cli import exits
from api.cli.client import Client
from api.cli.connection import Connection
from api.cli.responses import Json, RemoteError
from api.cli.run.keep import LOCK, LOG
from api.cli.run.ports import free_port
from cluster.messages.work import ChatMessage
from tests.support.given_cluster import BIN, Cluster, given_cluster
from tests.support.serving import START_S
from tests.support.waiting import wait_until

TOKENS = 100
BODY = {"model": "sim:kept", "messages": [{"role": "user", "content": "under a new gcs_server"}]}
ANSWER = simulated_text((ChatMessage("user", "under a new gcs_server"),), None, TOKENS)
MODEL = {"id": "sim:kept", "backend": "simulated", "engine": {"token_s": 0.05, "output_tokens": TOKENS}}
END_S = 60.0
LOOK_S = 0.1


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with given_cluster(RAY_gcs_storage="rocksdb", RAY_gcs_storage_path="{temp}/gcs") as cluster:
        yield cluster


class Keeping:
    """`infernet keep`, in the background."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.state = folder / "state"
        self._cluster = cluster
        self._config = folder / "infernet.yaml"
        self._port = free_port()
        self.write(MODEL)

    def write(self, model: Json) -> None:
        """Its settings."""
        self._config.write_text(yaml.safe_dump({"server": {"port": self._port}, "models": [model]}))

    def begin(self) -> subprocess.CompletedProcess[str]:
        """What the command in the foreground tells, and its exit code."""
        flags = (
            "--background",
            "--ray-address",
            self._cluster.address,
            "--config",
            self._config,
            "--state",
            self.state,
        )
        return subprocess.run(
            [BIN / "infernet", "keep", *flags], env=self._cluster.environment, capture_output=True, text=True
        )

    @property
    def told(self) -> str:
        return (self.state / LOG).read_text()

    def client(self) -> Client:
        return Client(Connection(**json.loads((self.state / "connection.json").read_text())))

    def processes(self, command: str) -> list[psutil.Process]:
        """Those that run as `infernet COMMAND` with this state folder."""
        return [
            process
            for process in psutil.process_iter()
            if str(self.state) in (words := _words(process)) and command in words
        ]

    def serves(self, model: str) -> bool:
        try:
            with self.client() as client:
                return client.ready() and [each["id"] for each in client.models()["models"]] == [model]
        except (OSError, httpx.HTTPError, RemoteError):
            return False


@pytest.mark.long
def test_what_ends_is_started_again_until_ray_has_ended(cluster: Cluster, tmp_path: Path) -> None:
    keeping = Keeping(cluster, tmp_path)
    assert keeping.begin().returncode == 0
    wait_until(lambda: keeping.serves("sim:kept"), START_S)

    # Streams do not need gcs_server, and it is there again before anybody else would miss it.
    with keeping.client() as client:
        pieces = client.stream({**BODY, "stream": True})
        text = next(pieces)
        (gcs,) = cluster.processes("gcs_server")
        gcs.kill()
        assert text + "".join(pieces) == ANSWER
        assert "".join(client.stream({**BODY, "stream": True})) == ANSWER
    assert "gcs_server has ended: it is started again" in keeping.told

    # Nor do they need `infernet up`, which watches.
    for process in keeping.processes("up"):
        process.kill()
    with keeping.client() as client:
        assert "".join(client.stream({**BODY, "stream": True})) == ANSWER
    wait_until(lambda: "`infernet up` has ended: it is started again" in keeping.told, START_S)
    wait_until(lambda: keeping.told.rpartition("started again")[2].count("ready (") == 1, START_S)

    keeping.write({**MODEL, "id": "sim:new"})
    os.kill(int((keeping.state / LOCK).read_text()), signal.SIGHUP)
    wait_until(lambda: keeping.serves("sim:new"), START_S)

    (raylet,) = cluster.processes("raylet")
    raylet.kill()
    wait_until(lambda: "Ray has ended on this machine" in keeping.told, END_S)
    wait_until(lambda: not keeping.processes("keep") and not keeping.processes("up"), END_S)


def test_settings_that_cannot_be_used_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "infernet.yaml").write_text("models: []")
    flags = ("--config", tmp_path / "infernet.yaml", "--state", tmp_path / "state", "--background")
    done = subprocess.run([BIN / "infernet", "keep", *flags], capture_output=True, text=True)
    assert done.returncode == exits.FAILED
    assert done.stderr.startswith("infernet: ") and "at least one model" in done.stderr


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
