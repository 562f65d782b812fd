"""A replica over two machines, which raylets of one play: jobs run, and go on when one of the two is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.backends.simulated import simulated_text
from cluster.messages.work import ChatMessage
from tests.support.given_cluster import Cluster, given_cluster
from tests.support.serving import Serving, in_parallel
from tests.support.waiting import wait_until

SIMULATED, CAPITALS = "sim:spread", "capitals"
TOKENS = 400
STREAMS = 8
MACHINES = 3
LOOK_S = 0.2
PATIENCE_S = 120.0
LOAD_S = 420.0
"""vLLM on two machines is five processes that import it, here on the cores of one."""
pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

OVER_TWO = {"cpus": 1, "machines": 2, "labels": {"pool": "workers"}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with given_cluster() as cluster:
        yield cluster


@pytest.fixture
def serving(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Serving]:
    """On a head, and three machines with room for one part each."""
    while len(cluster.processes("raylet")) < 1 + MACHINES:
        cluster.join("--num-cpus=1", "--labels=pool=workers")
    limits = {"reads_per_minute": 100_000}
    settings = {"limits": limits, "models": [request.param]}
    system = Serving(tmp_path, settings, "--ray-address", cluster.address, env=cluster.environment)
    try:
        system.wait_for(f"Model {request.param['id']}: ready", LOAD_S)
        yield system
        assert system.interrupt() == 0
    finally:
        system.end()
    _until_nothing_is_left(cluster)


@pytest.mark.parametrize(
    "serving",
    [{"id": SIMULATED, "backend": "simulated", "engine": {"token_s": 0.02, "output_tokens": TOKENS}, **OVER_TWO}],
    indirect=True,
)
@pytest.mark.parametrize("lost", ["first", "further"])
def test_streams_go_on_in_another_replica_when_a_machine_is_lost(cluster: Cluster, serving: Serving, lost: str) -> None:
    first, part = _engines(cluster), _parts(cluster)
    assert (len(first), len(part)) == (1, 1)
    assert _machines_with_engines(serving) == 2
    speaking = [threading.Event() for _ in range(STREAMS)]
    reads = [partial(_read, serving, f"question {number}", speaking[number]) for number in range(STREAMS)]
    lose = partial(_once_all_speak, speaking, partial(_kill_raylet_of, *(first if lost == "first" else part)))
    *texts, _ = in_parallel([*reads, lose])
    assert texts == [_exact(f"question {number}") for number in range(STREAMS)]
    wait_until(lambda: not any(map(psutil.pid_exists, [*first, *part])), PATIENCE_S)
    wait_until(lambda: len(cluster.placement_groups()) == 1, PATIENCE_S)
    assert (len(_engines(cluster)), len(_parts(cluster)), _machines_with_engines(serving)) == (1, 1, 2)


@pytest.mark.parametrize(
    "serving",
    [{"id": CAPITALS, "source": "builtin:capitals", "gpus": 0, "replicas": 1, **OVER_TWO}],
    indirect=True,
)
def test_vllm_answers_from_two_machines_and_nothing_outlives_a_part(cluster: Cluster, serving: Serving) -> None:
    first = _engines(cluster)
    body = {"model": CAPITALS, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    with serving.client() as client:
        assert "".join(client.stream({**body, "stream": True})) == "Paris is the capital of France."
        _kill(_parts(cluster), cluster)
        assert "".join(client.stream({**body, "stream": True})) == "Paris is the capital of France."
        assert _engines(cluster) != first
        _kill(_engines(cluster), cluster)


def _until_nothing_is_left(cluster: Cluster) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while left := [*cluster.living_actors(), *cluster.placement_groups()]:
        assert time.monotonic() < give_up_s, left
        time.sleep(LOOK_S)


def _kill(some: list[int], cluster: Cluster) -> None:
    """These processes of the engine's; what it started on both machines ends with them."""
    all_of_it = [*_engines(cluster), *_parts(cluster)]
    all_of_it += [child.pid for pid in all_of_it for child in psutil.Process(pid).children(recursive=True)]
    assert len(all_of_it) >= 2 + 3  # the engine's core, and a worker for each machine
    for pid in some:
        psutil.Process(pid).kill()
    wait_until(lambda: not any(map(psutil.pid_exists, all_of_it)), PATIENCE_S)


def _read(serving: Serving, question: str, speaks: threading.Event) -> str:
    body = {"model": SIMULATED, "messages": [{"role": "user", "content": question}], "stream": True}
    pieces = []
    with serving.client() as client:
        for piece in client.stream(body):
            pieces.append(piece)
            speaks.set()
    return "".join(pieces)


def _exact(question: str) -> str:
    return simulated_text((ChatMessage("user", question),), None, TOKENS)


def _once_all_speak(speaking: list[threading.Event], disturb: Callable[[], None]) -> None:
    assert all(each.wait(PATIENCE_S) for each in speaking)
    disturb()


def _kill_raylet_of(worker: int) -> None:
    """The machine is lost, and with it all that Ray runs there."""
    raylet = psutil.Process(worker).parent()
    assert raylet is not None and raylet.name() == "raylet"
    raylet.kill()


def _engines(cluster: Cluster) -> list[int]:
    return _processes(cluster, "Engine")


def _parts(cluster: Cluster) -> list[int]:
    return _processes(cluster, "EnginePart")


def _processes(cluster: Cluster, kind: str) -> list[int]:
    return [actor["pid"] for actor in cluster.living(kind)]


def _machines_with_engines(serving: Serving) -> int:
    with serving.client() as client:
        nodes: list[dict[str, Any]] = client.nodes()["nodes"]
    return sum(bool(node["engines"]) for node in nodes)
