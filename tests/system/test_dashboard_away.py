"""What pages show while parts of the system are away: never less than a page, which says what it is that is away."""

import inspect
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.wire.calls import Unreachable
from api.replica.gateway import Gateway
from tests.support.http_door import with_api
from tests.support.plain_system import ADMIN_KEY, QUICK, SIM, PlainSystem, until
from tests.support.visitors import sign_in, visitor

SLOW = replace(SIM, engine={**SIM.engine, "token_s": 0.02, "output_tokens": 10_000})
FORGETFUL = replace(QUICK, health_s=1.0, key_remembered_s=0.001)
PART = {"HX-Request": "true"}
FIXED = {
    *("/", "/jobs", "/models", "/nodes", "/playground", "/usage"),
    *("/settings", "/settings/keys", "/settings/accounts", "/settings/webhooks"),
}
AWAY: Mapping[str, set[str]] = {
    "scheduler": {"/models", "/nodes", "/models/sim", "a node"},
    "journal": set(),
    "rate limiter": {*FIXED, "/models/sim", "a node", "a job"},
    "ledger": {*FIXED, "/models/sim", "a node", "a job"},
}
"""The pages that are nothing without this part. Who asks is not remembered here, as it is elsewhere for a moment."""


class Part:
    """An actor, which does not answer while it `is_away`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._actor, name)
        if inspect.isasyncgenfunction(method):
            return method

        async def asked(*given: Any) -> Any:
            if self.is_away:
                raise Unreachable("it died")
            return await method(*given)

        return asked


class Parts:
    """A replica of this system, each of whose parts can be away."""

    def __init__(self, system: PlainSystem, timing: Any = FORGETFUL) -> None:
        self.of = {
            "ledger": Part(system.ledger),
            "rate limiter": Part(system.rate_limiter),
            "scheduler": Part(system.scheduler),
            "journal": Part(system.journal),
        }
        self.gateway = Gateway(system.settings, *self.of.values(), timing=timing)  # type: ignore[arg-type]

    @asynccontextmanager
    async def without(self, name: str) -> AsyncIterator[None]:
        self.of[name].is_away = True
        yield
        self.of[name].is_away = False


def pages(system: PlainSystem, job_id: str) -> dict[str, str]:
    """All pages, by what they are called here, and their addresses."""
    fixed = {path: path for path in FIXED}
    return fixed | {"/models/sim": "/models/sim", "a node": f"/nodes/{system.node_ids[0]}", "a job": f"/jobs/{job_id}"}


async def running_job(api: httpx.AsyncClient) -> str:
    body = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 900}
    return str((await api.post("/api/v1/jobs", json=body)).json()["id"])


@pytest.mark.parametrize("name", AWAY)
def test_every_page_is_a_page_whatever_is_away(name: str, tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        parts = Parts(system)
        job_id = await running_job(api)
        async with visitor(parts.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            async with parts.without(name):
                answers = {known: await client.get(path) for known, path in pages(system, job_id).items()}
            assert {known for known, answer in answers.items() if answer.status_code != 200} == AWAY[name]
            for known, answer in answers.items():
                assert answer.headers["content-type"].startswith("text/html"), known
                assert 'aria-label="Pages"' in answer.text, f"{known} has no navigation"
                assert "it died" not in answer.text
                if known in AWAY[name]:
                    assert answer.status_code == 503
                    assert f"The {name} does not answer" in answer.text, known
                    assert 'id="comes-back"' in answer.text, known
            for known, path in pages(system, job_id).items():
                assert (await client.get(path)).status_code == 200, f"{known} has not come back"

    with_api(tmp_path / "a.db", scenario, models=[SLOW])


@pytest.mark.parametrize("name", ["journal", "scheduler"])
def test_a_running_jobs_page_tells_what_is_known_and_that_it_waits(name: str, tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        parts = Parts(system)
        job_id = await running_job(api)

        async def is_placed() -> bool:
            return bool((await api.get(f"/api/v1/jobs/{job_id}/placement")).json()["attempts"])

        await until(is_placed, "it has an engine")
        async with visitor(parts.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            async with parts.without(name):
                for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/now"):
                    shown = await client.get(path)
                    assert shown.status_code == 200
                    assert f"The {name} does not answer at the moment" in shown.text
                    assert "Attempt 1" in shown.text
                    assert ("data-silent" in shown.text) == (name == "journal")
            shown = await client.get(f"/jobs/{job_id}/now")
            assert "does not answer" not in shown.text

    with_api(tmp_path / "a.db", scenario, models=[SLOW])


def test_a_running_jobs_page_waits_for_no_journal_that_is_started_again(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        job_id = await running_job(api)
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            await system.lose_journal()
            shown = await client.get(f"/jobs/{job_id}")
            assert (shown.status_code, "data-silent" in shown.text) == (200, True)
            await system.start_journal()

            async def goes_on() -> bool:
                return "data-silent" not in (await client.get(f"/jobs/{job_id}/now")).text

            await until(goes_on, "the page goes on by itself")

    with_api(tmp_path / "a.db", scenario, models=[SLOW], timing=replace(QUICK, health_s=0.2))


def test_the_overview_tells_no_number_that_it_does_not_know(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        parts = Parts(system, replace(QUICK, health_s=1.0))
        made = (await api.post("/api/v1/keys", json={"name": "member"})).json()["key"]
        for key in (ADMIN_KEY, made):
            async with visitor(parts.gateway) as client:
                await sign_in(client, key)
                async with parts.without("scheduler"):
                    shown = (await client.get("/overview/now")).text
                assert "The scheduler does not answer" in shown
                assert "not known now" in shown
                assert "0 <small>jobs</small>" not in shown
                assert "None has joined" not in shown
                assert "infernet up --model" not in shown
                async with parts.without("ledger"):
                    shown = (await client.get("/overview/now")).text
                assert "The ledger does not answer" in shown
                assert "not known now" in shown
                assert "None yet" not in shown
                assert "0 <small>jobs</small>" in shown, "what the Scheduler knows"

    with_api(tmp_path / "a.db", scenario)


def test_what_is_asked_for_is_kept_over_an_outage_and_over_signing_in(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        parts = Parts(system)
        async with visitor(parts.gateway) as client:
            asked = "/jobs?status=failed&model=sim"
            assert (await client.get(asked)).url.params["next"] == asked
            back = await client.post("/signin", data={"key": ADMIN_KEY, "next": asked})
            assert back.url.raw_path.decode() == asked
            async with parts.without("ledger"):
                assert asked.replace("&", "&amp;") in (await client.get(asked)).text
                part = await client.get(asked.replace("/jobs", "/jobs/now"), headers=PART)
            assert (part.status_code, part.text.count("<")) == (503, 2), "a poll gets a sentence"

    with_api(tmp_path / "a.db", scenario)


def test_who_has_asked_too_often_comes_back_when_there_is_room(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        made = (await api.post("/api/v1/keys", json={"name": "few", "limits": {"reads_per_minute": 1}})).json()
        async with visitor(system.gateway) as client:
            await sign_in(client, made["key"])
            refused = await client.get("/jobs")
            assert refused.status_code == 429
            assert f'data-after="{refused.headers["retry-after"]}"' in refused.text
            assert 'aria-label="Pages"' in refused.text

    with_api(tmp_path / "a.db", scenario)
