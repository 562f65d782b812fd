"""GET /jobs/{id}/placement and `infernet explain`: why a job waits, and what moved it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from api.cli.explaining import sentences
from cluster.ids import JobId, NodeId
from cluster.messages.machines import Hardware
from tests.support.http_door import door, with_api
from tests.support.plain_system import SIM, PlainSystem, until

NARROW = replace(SIM, engine={**SIM.engine, "batch_slots": 1, "token_s": 0.02})
RESTARTED = replace(SIM, engine={**SIM.engine, "token_s": 0.02})


async def submit(client: httpx.AsyncClient, tokens: int = 900, **fields: Any) -> str:
    body = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": tokens, **fields}
    answer = await client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 200, answer.text
    job_id: str = answer.json()["id"]
    return job_id


async def placement(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    told: dict[str, Any] = (await client.get(f"/api/v1/jobs/{job_id}/placement")).json()
    return told


async def explained(client: httpx.AsyncClient, job_id: str) -> list[str]:
    job = (await client.get(f"/api/v1/jobs/{job_id}")).json()
    return sentences(job, await placement(client, job_id), datetime.now(UTC))


def test_a_job_that_waits_is_told_whose_turn_is_before_its_own(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        made = await admin.post("/api/v1/accounts", json={"name": "a name nobody else may read", "weight": 2})
        key = await admin.post("/api/v1/keys", json={"name": "k", "account": made.json()["id"]})
        running, *_ = [await submit(admin) for _ in range(3)]
        mine = await submit(admin, priority="low")
        async with door(system.gateway, key.json()["key"]) as other:
            theirs = await submit(other)

            async def has_paid() -> bool:
                standing = await system.scheduler.explain(JobId(mine))
                return standing is not None and standing.turn is not None and standing.turn.accounts_before == 1

            await until(has_paid, "a charge of what the engine has made")
            told = await placement(admin, mine)
            assert (told["attempts"], told["stage"], told["suspect"]) == ([], "waiting", False)
            turn = told["turn"]
            assert turn.pop("share") > turn.pop("least_share")
            assert turn == {
                "priority": "low",
                "resumes": False,
                "resumed_jobs_before": 0,
                "accounts_before": 1,
                "own_jobs_before": 2,
                "weight": 1,
            }
            assert [candidate["ruled_out_by"] for candidate in told["waiting"]] == ["no room"]
            model = told["model"]
            assert (model["id"], model["replicas"], model["wanted"], model["queued"]) == ("sim", 1, 1, 4)
            words = "\n".join(await explained(admin, mine))
            assert "1 account is before yours" in words
            assert "2 jobs of your own come before it; its priority is low." in words
            assert "Engine sim/0 is full." in words
            assert "a name nobody" not in words and made.json()["id"] not in str(told)
            assert "It is your account's turn" in "\n".join(await explained(other, theirs))
            assert (await placement(other, theirs))["turn"]["weight"] == 2
            assert (await other.get(f"/api/v1/jobs/{mine}/placement")).status_code == 404
        assert (await placement(admin, running))["stage"] == "with an engine"

    with_api(database, scenario, models=[NARROW])


def test_what_moved_a_job_is_told_with_each_attempt(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        job_id = await submit(admin, tokens=60)
        (engine_id,) = system.known_engines()
        await until(lambda: system.scheduler.leases.places.working == 1, "a job at an engine")
        system.kill_engine(engine_id)

        async def has_gone_on() -> bool:
            return len(await system.ledger.placements(JobId(job_id))) == 2

        await until(has_gone_on, "a second attempt")
        first, second = (await placement(admin, job_id))["attempts"]
        assert "moved_by" not in first
        assert (second["attempt"], second["moved_by"]) == (2, "engine died")
        assert first["engine_id"] != second["engine_id"]
        assert "because its engine had died" in "\n".join(await explained(admin, job_id))
        await system.ended(JobId(job_id))
        assert "stage" not in await placement(admin, job_id)

    with_api(database, scenario, models=[RESTARTED])


def test_a_job_that_waits_for_its_model_is_told_what_the_start_waits_for(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        mine = await submit(admin)
        system.cluster.elastic = True
        system.cluster.join(NodeId("node_head"), Hardware("head", cpus=0.0, memory_bytes=1 << 30))

        async def told() -> bool:
            starting: str = (await placement(admin, mine))["model"].get("starting", "")
            return starting.startswith("waits for a machine, for ")

        await until(told, "what is waited for")
        assert "How far the start of one is: waits for a machine" in (await placement(admin, mine))["reason"]
        said = [each for each in await explained(admin, mine) if each.startswith("How far its start is")]
        assert len(said) == 1
        system.node_ids.append(NodeId("node_1"))
        await system.start_node(NodeId("node_1"))
        await system.ended(JobId(mine))

    with_api(database, scenario, models=[SIM], nodes=0)
