"""A replica over two machines: a job brings both, it goes on when one is taken away with notice, and all go again."""

from functools import partial
from typing import Any

import pytest

from actors.backends.simulated import simulated_text
from cluster.messages.work import ChatMessage
from tests.elastic.fake_cluster import FakeCluster, fake_cluster, why_not_here
from tests.support.serving import in_parallel

MODEL, TOKENS, TOKEN_S = "sim:spread", 500, 0.08
SETTINGS: dict[str, Any] = {
    "limits": {"reads_per_minute": 100_000},
    "models": [
        {
            "id": MODEL,
            "backend": "simulated",
            "gpus": 1,
            "cpus": 0.5,
            "machines": 2,
            "labels": {"tier": "spot"},
            "replicas": {"min": 0, "max": 1, "idle_s": 3, "drain_s": 2},
            "engine": {"first_token_s": 0.02, "token_s": TOKEN_S, "output_tokens": TOKENS},
        }
    ],
}
COME_S, GO_S, NOTICE_S = 120.0, 120.0, 15.0
QUESTION = "over two machines"


@pytest.mark.skipif(why_not_here() is not None, reason=str(why_not_here()))
@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_machines_come_for_one_replica_and_another_one_for_the_one_that_is_taken_away() -> None:
    with fake_cluster(SETTINGS, version=2) as cluster:
        cluster.until(lambda nodes, models: len(nodes) == 1, COME_S)
        text, _ = in_parallel([partial(_read, cluster), partial(_take_one_away, cluster)])
        assert text == simulated_text((ChatMessage("user", QUESTION),), None, TOKENS)
        cluster.note("the text is exact")
        cluster.until(lambda nodes, _: sum(node["status"] != "offline" for node in nodes) == 1, GO_S)
        print("", *cluster.timeline, sep="\n  ")


def _read(cluster: FakeCluster) -> str:
    with cluster.client() as client:
        job_id = client.submit({"model": MODEL, "messages": [{"role": "user", "content": QUESTION}]})["id"]
        return "".join(client.follow(job_id))


def _take_one_away(cluster: FakeCluster) -> None:
    """Once the replica is there, on two machines of the three that there may be."""
    cluster.until(lambda nodes, models: bool(models[MODEL]["replicas"]), COME_S)
    with cluster.client() as client:
        taken, stays = [node["id"] for node in client.nodes()["nodes"] if node["engines"]]
    cluster.take_away(taken, NOTICE_S)
    cluster.note(f"one of two machines gets {NOTICE_S:g} s notice")

    def has_moved(nodes: list[dict[str, Any]], models: dict[str, dict[str, Any]]) -> bool:
        ready = [node["id"] for node in nodes if MODEL in node["models"]]
        return taken not in ready and stays in ready and len(ready) == 2

    cluster.until(has_moved, COME_S)
