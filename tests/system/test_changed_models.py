"""What admins set of a model while it serves: how many replicas there may be, and that they are replaced."""

from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from cluster.catalogue import Replicas
from cluster.fleet.backoff import FIRST_BACKOFF_S
from tests.support.http_door import door, is_error, with_api
from tests.support.plain_system import SIM, PlainSystem, run, until
from tests.support.watch import Watch

SMALL = replace(SIM, cpus=0.25, replicas=Replicas(1, 2), engine={**SIM.engine, "token_s": 0.002})
PATH = "/api/v1/models/sim"


async def model(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get(PATH)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def change(client: httpx.AsyncClient, **replicas: int | None) -> dict[str, Any]:
    answer = await client.patch(PATH, json={"replicas": replicas or None})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def has_ready(client: httpx.AsyncClient, count: int) -> bool:
    now = await model(client)
    engines = [engine for engine in now["engines"] if not engine.get("retiring")]
    return now["replicas"] == len(engines) == now["wanted"] == count


def test_other_bounds_hold_at_once_and_after_the_loss_of_a_scheduler(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        settings = {"min": 1, "max": 2, "idle_s": 300}
        assert (await model(client))["bounds"] == {**settings, "set_by": "settings", "settings": settings}
        changed = await change(client, min=3, max=4)
        bounds = {"min": 3, "max": 4, "idle_s": 300, "set_by": "admin", "settings": settings}
        assert changed["bounds"] == bounds
        await until(lambda: has_ready(client, 3), "three replicas")
        assert (await model(client))["scaling"].startswith("3 replicas, the fewest there may be")
        before = {report.id for report in await system.engine_reports()}
        await system.restart_scheduler()
        await until(lambda: has_ready(client, 3), "three replicas again")
        assert {report.id for report in await system.engine_reports()} == before
        assert (await model(client))["bounds"] == bounds
        assert (await change(client, max=3))["bounds"]["min"] == 3
        assert (await change(client, min=1, max=None))["bounds"] == bounds | {"min": 1, "max": 2}
        await until(lambda: has_ready(client, 2), "one less, at once")
        assert (await change(client))["bounds"] == {**settings, "set_by": "settings", "settings": settings}

    with_api(database, scenario, models=[SMALL])


def test_none_where_there_is_nothing_to_do_and_one_with_the_next_job(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await change(client, min=0, idle_s=1)
        await until(lambda: has_ready(client, 0), "no replica")
        assert (await model(client))["state"] == "idle"
        watch = Watch(system, [system.job()])
        await watch.exact()
        assert (await model(client))["replicas"] == 1

    with_api(database, scenario, models=[SMALL])


def test_bounds_that_do_not_go_together_change_nothing(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        before = (await model(client))["bounds"]
        for replicas, named in (({"min": 3}, "replicas.min"), ({"min": 2, "max": 1}, "replicas.min")):
            answer = await client.patch(PATH, json={"replicas": replicas})
            assert is_error(answer, 400, "bad_request", named)
        assert (await model(client))["bounds"] == before
        assert (await client.patch(PATH, json={})).json()["bounds"] == before

    with_api(database, scenario, models=[SMALL])


def test_a_restart_replaces_every_replica_and_no_stream_notices(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        await system.ready(engines=2)
        before = {engine["engine_id"] for engine in (await model(client))["engines"]}
        assert len(before) == 2
        watch = Watch(system, [system.job(f"Number {number}", max_tokens=400) for number in range(8)])
        await watch.some(50)
        told = await client.post(f"{PATH}/restart")
        assert told.status_code == 200, told.text

        async def all_are_new() -> bool:
            engines = (await model(client))["engines"]
            return len(engines) == 2 and not before & {e["engine_id"] for e in engines} and await has_ready(client, 2)

        await until(all_are_new, "new replicas")
        await watch.exact()
        now = await model(client)
        assert not any(engine.get("outdated") for engine in now["engines"])
        assert "settings before" not in now["scaling"]
        await system.restart_scheduler()
        after = {engine["engine_id"] for engine in now["engines"]}
        await until(lambda: has_ready(client, 2), "they stay")
        assert {engine["engine_id"] for engine in (await model(client))["engines"]} == after

    with_api(database, scenario, models=[replace(SMALL, replicas=Replicas(2, 2, drain_s=0))])


def test_a_restart_tries_a_model_again_that_did_not_load(database: Path) -> None:
    torn = replace(SMALL, engine={"fail_on_load": "the weights are torn"})

    async def scenario() -> None:
        async with PlainSystem(database, models=[torn]) as system, door(system.gateway) as client:

            async def failed(times: int) -> bool:
                return len((await model(client))["failures"]) == times

            await until(lambda: failed(1), "a failure")
            now = await model(client)
            assert now["failures"][0]["message"] == now["state_message"] == "the weights are torn"
            assert (await client.post(f"{PATH}/restart")).status_code == 200
            began_s = system.clock.monotonic_s()
            await until(lambda: failed(2), "another try")
            assert system.clock.monotonic_s() - began_s < FIRST_BACKOFF_S / 2  # long before it was due

    run(scenario())
