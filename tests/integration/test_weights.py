"""Of two machines, played by two raylets, replicas start where their weights are, and where GPUs are large enough."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.cli.client import Client
from api.cli.responses import RemoteError
from cluster.fleet.gpu_types import TYPE_LABEL
from tests.support.given_cluster import Cluster, given_cluster
from tests.support.hub_cache import snapshot, write_header
from tests.support.model_configs import LLAMA_70B
from tests.support.serving import START_S, Serving
from tests.support.waiting import wait_until

# Without weights a seat goes to the head: it has fewer GPUs left. The CPUs tell which machine is which.
WORKER_GPUS, WORKER_CPUS = 4, 77
HERE, ELSEWHERE = "sim:cached", "sim:uncached"
GPU_TYPE = "T4"
pytestmark = pytest.mark.long
LOOK_S = 0.5


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with given_cluster(HF_HOME="{temp}/head") as cluster:
        flags = (f"--num-gpus={WORKER_GPUS}", f"--num-cpus={WORKER_CPUS}", f"--labels={TYPE_LABEL}={GPU_TYPE}")
        cluster.join(*flags, HF_HOME=str(cluster.temp / "worker"))
        yield cluster


def test_a_replica_starts_on_the_machine_that_has_its_weights(cluster: Cluster, tmp_path: Path) -> None:
    snapshot(cluster.temp / "worker" / "hub", "config.json", "model.safetensors")
    models = [
        model(ELSEWHERE, "org/other", replicas=1),
        model(HERE, "org/name", replicas={"min": 0, "max": 1, "idle_s": 1}),
    ]
    flags = ("--ray-address", cluster.address)
    system = Serving(tmp_path, {"models": models}, *flags, env=cluster.environment)
    try:
        with system.wait_until_ready(ELSEWHERE).client() as client:
            wait_until(lambda: weights_on_worker(client) == [HERE], START_S, "its node tells of the weights")
            for _ in range(2):
                "".join(client.stream({"model": HERE, "messages": [{"role": "user", "content": "hi"}], "stream": True}))
                assert is_on_worker(client) == {ELSEWHERE: False, HERE: True}
                wait_until(lambda: HERE not in is_on_worker(client), START_S, "its engine ends")
        assert system.interrupt() == 0
    finally:
        system.end()


def test_a_model_that_is_too_large_for_the_gpus_is_refused_with_the_arithmetic(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_70B))
    write_header(tmp_path / "model.safetensors", "BF16", [70_553_706_496])
    large = {"id": "large", "source": str(tmp_path), "gpus": WORKER_GPUS, "engine": {"max_model_len": 32_768}}
    flags = ("--ray-address", cluster.address)
    system = Serving(tmp_path, {"models": [model(ELSEWHERE, "org/other"), large]}, *flags, env=cluster.environment)
    try:
        with system.wait_until_ready(ELSEWHERE).client() as client:
            wait_until(lambda: told(client, "large")["state"] == "failed", START_S, "whether there is room is known")
            assert told(client, "large")["state_message"] == (
                "needs 131 GiB of GPU memory for its weights and 10 GiB for one request of 32,768 tokens, on 4 GPUs; "
                "the largest here have 4 x 15 GiB (0.92 of 16 GiB)"
            )
            with pytest.raises(RemoteError, match=r"needs 131 GiB.*no_capacity"):
                client.submit({"model": "large", "messages": [{"role": "user", "content": "hi"}]})
        assert system.interrupt() == 0
    finally:
        system.end()


def told(client: Client, name: str) -> dict[str, Any]:
    return next(model for model in client.models(all=True)["models"] if model["id"] == name)


def model(name: str, source: str, **more: Any) -> dict[str, Any]:
    engine = {"token_s": 0.01, "output_tokens": 20}
    return {"id": name, "backend": "simulated", "source": source, "gpus": 1, "engine": engine, **more}


def is_on_worker(client: Client) -> dict[str, bool]:
    """Of each model that has an engine, whether that is on the worker."""
    nodes = client.nodes()["nodes"]
    return {engine["model"]: node["cpus"] == WORKER_CPUS for node in nodes for engine in node["engines"]}


def weights_on_worker(client: Client) -> list[str]:
    return [name for node in client.nodes()["nodes"] if node["cpus"] == WORKER_CPUS for name in node["weights"]]
