"""The system on a Ray cluster that runs already: joined by `infernet up`, and deployed by `serve deploy`."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from actors.backends.simulated import simulated_text
from api.cli.client import Client
from api.cli.connection import Connection
from api.cli.responses import RemoteError
from api.cli.run import runs
from api.cli.run.ports import free_port
from api.cli.run.ray_cluster import environment
from cluster.messages.work import ChatMessage
from tests.support.serving import START_S, Serving

BIN = Path(sys.executable).parent
ADMIN_KEY = "inft_0123456789abcdefghijABCDEFGHIJ01"
MODEL = {"id": "sim:given", "backend": "simulated", "engine": {"token_s": 0.005, "output_tokens": 30}}
LOOK_S = 0.5
BODY = {"model": "sim:given", "messages": [{"role": "user", "content": "on a given cluster"}]}
ANSWER = simulated_text((ChatMessage("user", "on a given cluster"),), None, 30)


class Cluster:
    """A Ray head of this test's own, started as an administrator does."""

    def __init__(self, temp: Path) -> None:
        self.temp = temp
        self.port, self.dashboard_port = free_port(), free_port()
        # Ray makes a token for a new cluster by itself, but its clients look for one only when told to.
        self.environment = {**os.environ, **environment(temp), "RAY_AUTH_MODE": "token"}
        head = [
            "--head",
            f"--port={self.port}",
            f"--dashboard-port={self.dashboard_port}",
            f"--temp-dir={temp / 'ray'}",
        ]
        self.call("ray", "start", *head, "--num-gpus=2", "--include-dashboard=true", "--disable-usage-stats")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def living_actors(self) -> list[dict[str, Any]]:
        listing = self.call("ray", "list", "actors", "--format=json", "--detail", "--address", self.dashboard)
        return [actor for actor in json.loads(listing) if actor["state"] != "DEAD"]

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    def call(self, *command: str) -> str:
        program = str(BIN / command[0])
        done = subprocess.run(
            [program, *command[1:]], env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # Short: HAProxy's sockets lie under it.
    temp = Path(tempfile.mkdtemp(prefix="inft-", dir="/tmp"))
    try:
        yield Cluster(temp)
    finally:
        runs.end(str(temp))
        shutil.rmtree(temp, ignore_errors=True)


def test_up_joins_a_cluster_holds_its_gpus_and_leaves_it_as_it_was(cluster: Cluster, tmp_path: Path) -> None:
    system = Serving(
        tmp_path,
        {"models": [{**MODEL, "gpus": 1, "replicas": 2}]},
        "--ray-address",
        cluster.address,
        env=cluster.environment,
    )
    try:
        with system.wait_until_ready("sim:given").client() as client:
            assert "".join(client.stream({**BODY, "stream": True})) == ANSWER
            while client.models(all=True)["models"][0]["replicas"] < 2:
                time.sleep(LOOK_S)  # a key has 600 reads a minute
        # Ray counts the cluster's two GPUs without looking for them.
        held = [actor["required_resources"] for actor in cluster.living_actors() if actor["class_name"] == "Engine"]
        assert held == [{"GPU": 1.0}, {"GPU": 1.0}]
        assert system.interrupt() == 0
    finally:
        system.end()
    assert cluster.living_actors() == []


def test_serve_deploy_brings_up_the_same_system(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    config = yaml.safe_load(Path("ray_configs/serve.yaml").read_text())
    config["http_options"]["port"] = port
    (application,) = config["applications"]
    application["runtime_env"]["env_vars"]["INFERNET_ADMIN_KEY"] = ADMIN_KEY
    application["args"] = {"database": f"sqlite:///{tmp_path / 'infernet.db'}", "models": [MODEL]}
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(config))
    cluster.call("serve", "deploy", str(file), "--address", cluster.dashboard)
    with Client(Connection(f"http://127.0.0.1:{port}", ADMIN_KEY), pauses_s=[1.0] * 60) as client:
        _wait_until_ready(client)
        assert "".join(client.stream({**BODY, "stream": True})) == ANSWER
    cluster.call("serve", "shutdown", "--yes", "--address", cluster.dashboard)


def _wait_until_ready(client: Client) -> None:
    """Deploying answers at once, and everything starts behind it."""
    give_up_s = time.monotonic() + START_S
    while time.monotonic() < give_up_s:
        try:
            if client.models()["models"]:
                return
        except (httpx.HTTPError, RemoteError):
            pass
        time.sleep(LOOK_S)
    pytest.fail("the deployed system did not become ready")
