"""From no machine to three and back to none, by load alone; and one is taken away under streams."""

import time
from functools import partial
from typing import Any

import pytest

from actors.backends.simulated import simulated_text
from cluster.messages.work import ChatMessage
from tests.elastic.fake_cluster import FakeCluster, fake_cluster, why_not_here
from tests.support.serving import in_parallel

MODEL, HUGE = "sim:elastic", "sim:huge"
JOBS, TOKENS, TOKEN_S = 9, 500, 0.05
SETTINGS: dict[str, Any] = {
    "limits": {"submissions_per_minute": 10_000, "submissions_per_hour": 10_000, "reads_per_minute": 100_000},
    "models": [
        {
            "id": MODEL,
            "backend": "simulated",
            "gpus": 1,
            "cpus": 0.5,
            "labels": {"tier": "spot"},
            "replicas": {"min": 0, "max": 3, "target_jobs": 3, "idle_s": 3, "drain_s": 2},
            "engine": {"first_token_s": 0.02, "token_s": TOKEN_S, "batch_slots": JOBS, "output_tokens": TOKENS},
        },
        {"id": HUGE, "backend": "simulated", "gpus": 8, "replicas": {"min": 0, "max": 1, "idle_s": 1}},
    ],
}
COME_S, GO_S = 120.0, 90.0
NOTICE_S = 15.0


@pytest.mark.skipif(why_not_here() is not None, reason=str(why_not_here()))
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", [2, pytest.param(1, marks=pytest.mark.long)])
def test_machines_come_with_the_jobs_and_go_again(version: int) -> None:
    with fake_cluster(SETTINGS, version) as cluster:
        cluster.until(lambda nodes, models: [node["status"] for node in nodes] == ["online"], COME_S)
        told = in_parallel([*(partial(_read, cluster, f"job {n}") for n in range(JOBS)), partial(_disturb, cluster)])
        texts = [text for text, _ in told[:JOBS]]
        assert texts == [exact(f"job {number}") for number in range(JOBS)]
        cluster.note(
            f"all {JOBS} texts exact; longest silence of one that had begun {max(s for _, s in told[:JOBS]):.1f} s"
        )
        cluster.until(lambda nodes, _: _present(nodes) == 1, GO_S)
        _assert_refused(cluster)
        print(f"\nautoscaler v{version}:", *cluster.timeline, sep="\n  ")


def exact(question: str) -> str:
    return simulated_text((ChatMessage("user", question),), None, TOKENS)


def _read(cluster: FakeCluster, question: str) -> tuple[str, float]:
    """What a client is told, and the longest that it heard nothing once it had begun to."""
    text, longest_s, heard_s = "", 0.0, None
    with cluster.client() as client:
        job_id = client.submit({"model": MODEL, "messages": [{"role": "user", "content": question}]})["id"]
        for piece in client.follow(job_id):
            now_s = time.monotonic()
            longest_s = max(longest_s, now_s - (heard_s or now_s))
            text, heard_s = text + piece, now_s
    return text, longest_s


def _disturb(cluster: FakeCluster) -> None:
    """Once all three machines are here, one of them gets a spot notice."""
    cluster.until(lambda nodes, models: models[MODEL]["replicas"] == 3, COME_S)
    with cluster.client() as client:
        busy = max(client.nodes()["nodes"], key=lambda node: sum(engine["running"] for engine in node["engines"]))
    cluster.take_away(busy["id"], NOTICE_S)
    cluster.note(
        f"a machine with {sum(engine['running'] for engine in busy['engines'])} jobs gets {NOTICE_S:g} s notice"
    )
    cluster.until(lambda nodes, _: not _runs(nodes, busy["id"]), NOTICE_S)


def _runs(nodes: list[dict[str, Any]], node_id: str) -> bool:
    return any(engine["running"] for node in nodes if node["id"] == node_id for engine in node["engines"])


def _present(nodes: list[dict[str, Any]]) -> int:
    return sum(node["status"] != "offline" for node in nodes)


def _assert_refused(cluster: FakeCluster) -> None:
    """What no kind of machine has fails with its arithmetic, and brings none."""
    with cluster.client() as client:
        job_id = client.submit({"model": HUGE, "messages": [{"role": "user", "content": "?"}]})["id"]
        record = client.job(job_id, wait=60)
        assert (record["status"], record["error"]) == ("failed", "no_capacity")
        message = {model["id"]: model for model in client.models(all=True)["models"]}[HUGE]["state_message"]
    assert message.startswith("needs 8 GPUs"), message
    cluster.note(f"{HUGE}: {message}")
