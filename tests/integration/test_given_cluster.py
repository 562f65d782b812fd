"""The system on a Ray cluster that runs already: joined by `infernet up`, and deployed by `serve deploy`."""

import platform
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import ray
import yaml

from actors.backends.simulated import simulated_text
from api.cli.client import Client
from api.cli.connection import Connection
from api.cli.responses import RemoteError
from api.cli.run import runs
from api.cli.run.ports import free_port
from cluster.messages.work import ChatMessage
from tests.support.given_cluster import BIN, Cluster, given_cluster
from tests.support.serving import START_S, Serving
from tests.support.waiting import wait_until

ADMIN_KEY = "inft_0123456789abcdefghijABCDEFGHIJ01"
MODEL = {"id": "sim:given", "backend": "simulated", "engine": {"token_s": 0.005, "output_tokens": 30}}
DATABASE = "a-database-with-a-name-of-its-own.db"
LOOK_S = 0.5
BODY = {"model": "sim:given", "messages": [{"role": "user", "content": "on a given cluster"}]}
ANSWER = simulated_text((ChatMessage("user", "on a given cluster"),), None, 30)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with given_cluster() as cluster:
        yield cluster


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
        held = [actor["required_resources"] for actor in cluster.living("Engine")]
        # Each in its seat, a placement group, whose resources have its name.
        assert [max(gpus for kind, gpus in each.items() if kind.startswith("GPU_group")) for each in held] == [1.0, 1.0]
        assert system.interrupt() == 0
    finally:
        system.end()
    assert cluster.living_actors() == cluster.placement_groups() == []


def test_the_doctor_sees_whether_it_can_be_joined(cluster: Cluster) -> None:
    look = ("infernet", "doctor", "--only", "cluster", "--ray-address", cluster.address)
    told = cluster.call(*look)
    assert f"{cluster.address} answers: Ray {ray.__version__}, Python {platform.python_version()}, as here" in told
    assert re.search(r"1 machine: [\d.]+ of [\d.]+ CPUs and [\d.]+ of 2 GPUs are free", told)
    wrong = {**cluster.environment, "RAY_AUTH_TOKEN": "x" * 64}
    refused = subprocess.run([BIN / look[0], *look[1:]], env=wrong, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1
    assert "it asks for a token" in refused.stdout


@pytest.mark.long
def test_a_restart_with_another_catalogue_takes_effect(cluster: Cluster, tmp_path: Path) -> None:
    """Core actors outlive the process that started them: what they were made of may not."""
    kept = {"id": "sim:kept", "backend": "simulated", "engine": MODEL["engine"]}
    port = free_port()
    first = _joined(cluster, tmp_path, port, [MODEL, kept]).wait_until_ready("sim:given", "sim:kept")
    engines = {actor["name"]: actor["pid"] for actor in cluster.living("Engine")}
    first.process.kill()
    first.process.wait()
    second = _joined(cluster, tmp_path, port, [kept, {**MODEL, "id": "sim:new"}])
    try:
        with second.wait_until_ready("sim:new", "sim:kept").client() as client:
            assert {model["id"] for model in client.models(all=True)["models"]} == {"sim:kept", "sim:new"}
            assert "".join(client.stream({**BODY, "model": "sim:new", "stream": True})) == ANSWER
            wait_until(lambda: not any("sim:given" in actor["name"] for actor in cluster.living("Engine")), START_S)
            with pytest.raises(RemoteError, match="model_not_found"):
                client.submit(BODY)
        stayed = {actor["name"]: actor["pid"] for actor in cluster.living("Engine") if "sim:kept" in actor["name"]}
        assert stayed.items() <= engines.items(), "an engine of a model that has not changed was replaced"
        assert second.interrupt() == 0
    finally:
        second.end()
        cluster.call("serve", "shutdown", "--yes", "--address", cluster.dashboard)


def _joined(cluster: Cluster, folder: Path, port: int, models: list[dict[str, Any]]) -> Serving:
    flags = ("--ray-address", cluster.address)
    return Serving(folder, {"models": models}, *flags, port=port, env=cluster.environment)


@pytest.mark.long
def test_serve_deploy_brings_up_the_same_system(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    config = yaml.safe_load(Path("ray_configs/serve.yaml").read_text())
    config["http_options"]["port"] = port
    (application,) = config["applications"]
    url, secret = tmp_path / "database", tmp_path / "key"
    url.write_text(f"sqlite:///{tmp_path / DATABASE}")
    secret.write_text(ADMIN_KEY)
    application["runtime_env"]["env_vars"]["INFERNET_ADMIN_KEY"] = f"file:{secret}"
    application["args"] = {"database": f"file:{url}", "models": [MODEL]}
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(config))
    cluster.call("serve", "deploy", str(file), "--address", cluster.dashboard)
    with Client(Connection(f"http://127.0.0.1:{port}", ADMIN_KEY), pauses_s=[1.0] * 60) as client:
        _wait_until_ready(client)
        assert "".join(client.stream({**BODY, "stream": True})) == ANSWER
        _assert_nobody_is_shown(cluster, ADMIN_KEY, DATABASE)
    cluster.call("serve", "shutdown", "--yes", "--address", cluster.dashboard)


def _assert_nobody_is_shown(cluster: Cluster, *secrets: str) -> None:
    """Neither by Ray's state API and Serve's, nor in the environment of a process."""
    shown = [
        cluster.call("ray", "list", "actors", "--format=json", "--detail", "--address", cluster.dashboard),
        cluster.call("serve", "config", "--address", cluster.dashboard),
        cluster.call("serve", "status", "--address", cluster.dashboard),
        *map(_environment, runs.processes(str(cluster.temp))),
    ]
    assert [secret for secret in secrets for text in shown if secret in text] == []


def _environment(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.environ())
    return ""


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
