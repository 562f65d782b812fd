"""Jobs, Models, Nodes and Overview without a browser: who sees what, what hostile texts do, and how much is sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from msgspec.structs import replace

from cluster.catalogue import Model, Price
from cluster.ids import EngineId
from tests.support.http_door import with_api
from tests.support.plain_system import ADMIN_KEY, QUICK, SIM, PlainSystem, replicated, run, until
from tests.support.visitors import sign_in, visitor

HOSTILE = "<script>alert(1)</script>\"'"
MOST_BYTES_OF_A_POLL = 10_000
MOST_BYTES_OF_A_PAGE = 200_000  # with scripts and styles it is 300 KB
PART = {"HX-Request": "true"}


async def submit(api: httpx.AsyncClient, text: str = "Hi", **fields: Any) -> str:
    body = {"model": "sim", "messages": [{"role": "user", "content": text}], "max_tokens": 5} | fields
    response = await api.post("/api/v1/jobs", json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


async def ended(api: httpx.AsyncClient, job_id: str) -> None:
    assert (await api.get(f"/api/v1/jobs/{job_id}?wait=10")).json()["status"] in ("completed", "failed")


@asynccontextmanager
async def member(system: PlainSystem, api: httpx.AsyncClient, name: str) -> AsyncIterator[tuple[Any, Any, str]]:
    """Somebody of an account of that name: an API client, a visitor who has signed in, and the session's token."""
    account = (await api.post("/api/v1/accounts", json={"name": name})).json()["id"]
    key = (await api.post("/api/v1/keys", json={"name": "theirs", "account": account})).json()["key"]
    async with system.client(key) as own_api, visitor(system.gateway) as client:
        yield own_api, client, await sign_in(client, key)


def test_members_see_their_accounts_jobs_and_nothing_of_others(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        theirs = await submit(api, "a secret")
        await ended(api, theirs)
        async with member(system, api, "team") as (own_api, client, token):
            own = await submit(own_api)
            for path in ("/jobs", "/jobs/now"):
                listed = (await client.get(path)).text
                assert own in listed
                assert theirs not in listed
            assert (await client.get(f"/jobs/{own}")).status_code == 200
            for path in ("", "/now", "/result.json", "/result.txt", "/prompt.json"):
                refused = await client.get(f"/jobs/{theirs}{path}")
                assert refused.status_code == 404, path
                assert "secret" not in refused.text
            assert (await client.get(f"/playground?job={theirs}")).status_code == 404
            cancelled = await client.post(f"/jobs/{theirs}/cancel", headers={"X-CSRF-Token": token})
            assert cancelled.status_code == 404
            assert (await client.get("/jobs?account=all")).status_code == 403
            assert (await client.get("/overview/plots")).status_code == 403
            overview = (await client.get("/")).text
            assert "Your jobs today" in overview
            assert theirs not in overview
            async with visitor(system.gateway) as admin:
                await sign_in(admin, ADMIN_KEY)
                listed = (await admin.get("/jobs")).text
                assert own in listed
                assert theirs in listed
                assert "team" in (await admin.get(f"/jobs/{own}")).text

    with_api(tmp_path / "a.db", scenario)


def test_nothing_is_cancelled_without_the_sessions_token(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        slow = await submit(api, max_tokens=900)
        async with visitor(system.gateway) as client:
            token = await sign_in(client, ADMIN_KEY)
            assert (await client.post(f"/jobs/{slow}/cancel")).status_code == 403
            answered = await client.post(f"/jobs/{slow}/cancel", headers={"X-CSRF-Token": token})
            assert "cancelled" in answered.text
            again = await client.post(f"/jobs/{slow}/cancel", headers={"X-CSRF-Token": token} | PART)
            assert again.status_code == 409
            assert 'role="alert"' in again.text

    with_api(tmp_path / "a.db", scenario, models=[SLOW])


def test_models_are_changed_by_admins_with_their_sessions_token_alone(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with member(system, api, "team") as (_, client, token), visitor(system.gateway) as admin:
            own_token = await sign_in(admin, ADMIN_KEY)
            for somebody, headers in ((client, {"X-CSRF-Token": token}), (client, {}), (admin, {})):
                assert (await somebody.patch("/models/sim", data={"max": "3"}, headers=headers)).status_code == 403
                assert (await somebody.post("/models/sim/restart", headers=headers)).status_code == 403
            assert (await api.get("/api/v1/models/sim")).json()["bounds"]["set_by"] == "settings"
            own = {"X-CSRF-Token": own_token}
            for wrong in ({"max": "0"}, {"min": "2"}, {"max": "x"}, {"idle_s": "-1"}, {"max": HOSTILE}):
                refused = await admin.patch("/models/sim", data=wrong, headers=own)
                assert refused.status_code == 422, wrong
                assert "<script>" not in refused.text
            changed = await admin.patch("/models/sim", data={"max": "3", "min": "", "idle_s": ""}, headers=own)
            assert changed.status_code == 200
            bounds = (await api.get("/api/v1/models/sim")).json()["bounds"]
            assert (bounds["min"], bounds["max"], bounds["set_by"]) == (1, 3, "admin")

    with_api(tmp_path / "a.db", scenario)


def test_adapters_are_added_and_removed_by_admins_with_their_sessions_token_alone(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        path, form = "/models/sim/adapters", {"id": "7", "source": "org/seven", "price.completion": "2.5"}
        async with member(system, api, "team") as (_, client, token), visitor(system.gateway) as admin:
            own = {"X-CSRF-Token": await sign_in(admin, ADMIN_KEY)}
            for somebody, headers in ((client, {"X-CSRF-Token": token}), (client, {}), (admin, {})):
                assert (await somebody.post(path, data=form, headers=headers)).status_code == 403
                assert (await somebody.delete(f"{path}/7", headers=headers)).status_code == 403
            for wrong in (
                {"id": ""},
                {"id": "sim"},
                {"source": "/nowhere"},
                {"price.prompt": "x"},
                {"price.prompt": "1e999"},
                {"id": HOSTILE, "source": HOSTILE},
            ):
                refused = await admin.post(path, data=form | wrong, headers=own)
                assert refused.status_code == 422, wrong
                assert 'role="alert"' in refused.text
                assert "<script>" not in refused.text
            added = await admin.post(path, data=form, headers=own)
            assert (added.status_code, added.headers["HX-Trigger"]) == (200, "adapters-changed")
            assert "Remove 7?" in added.text
            (adapter,) = (await api.get("/api/v1/models/sim")).json()["adapters"]
            assert (adapter["id"], adapter["price"]) == ("7", {"prompt": 0.0, "completion": 2.5})
            for address in ("/models/sim", "/playground"):
                assert "org/seven" in (shown := (await admin.get(address)).text) or ">7<" in shown, address
            assert "Remove 7?" not in (await client.get("/models/sim")).text
            assert (await admin.post(path, data=form | {"id": HOSTILE}, headers=own)).status_code == 200
            assert "<script>alert" not in (await admin.get("/models/sim")).text
            assert (await admin.delete(f"{path}/{quote(HOSTILE, safe='')}", headers=own)).status_code == 200
            removed = await admin.delete(f"{path}/7", headers=own)
            assert (removed.status_code, "Remove 7?" in removed.text) == (200, False)
            assert (await admin.delete(f"{path}/7", headers=own)).status_code == 404

    with_api(tmp_path / "a.db", scenario)


def test_texts_and_names_cannot_be_more_than_that(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with member(system, api, HOSTILE) as (own_api, client, _), visitor(system.gateway) as admin:
            await sign_in(admin, ADMIN_KEY)
            job = await submit(own_api, HOSTILE, metadata={HOSTILE: HOSTILE})
            await ended(own_api, job)
            for somebody in (client, admin):
                for path in (
                    f"/jobs/{job}",
                    "/jobs",
                    f"/jobs?model={HOSTILE}",
                    f"/jobs?node={HOSTILE}",
                    f"/models/{HOSTILE}",
                ):
                    assert "<script>alert" not in (await somebody.get(path)).text, path
            for path in ("result.json", "result.txt", "prompt.json"):
                response = await admin.get(f"/jobs/{job}/{path}")
                assert response.headers["content-disposition"].startswith("attachment; filename=")
                assert not response.headers["content-type"].startswith("text/html")

    with_api(tmp_path / "a.db", scenario)


def test_an_address_that_says_nothing_sensible_is_refused_by_name(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            for query in ("status=lost", "since=yesterday", "cursor=x", "error=<b>", "until=never"):
                response = await client.get(f"/jobs?{query}")
                assert response.status_code == 400, query
                assert query.partition("=")[0] in response.text
                assert "<b>" not in response.text
            for path in ("/jobs/job_0", "/jobs/%00", "/models/none", "/models/%00", "/nodes/none"):
                assert (await client.get(path)).status_code == 404, path

    with_api(tmp_path / "a.db", scenario)


def test_the_form_leads_to_an_address_with_what_was_filled_in(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            found = await client.get("/jobs/search?status=all&model=+sim+&key=&since=2026-01-01T10:00&account=")
            assert found.status_code == 200
            assert str(found.url.copy_with(query=None)) == "http://infernet/jobs"
            assert dict(found.url.params) == {"model": "sim", "since": "2026-01-01T10:00"}

    with_api(tmp_path / "a.db", scenario)


def test_jobs_are_found_by_an_alias_of_their_model_as_the_api_finds_them(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        job_id = await submit(api)
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            for path in ("/jobs", "/api/v1/jobs"):
                assert job_id in (await client.get(f"{path}?model=sim-alias")).text
                assert job_id not in (await client.get(f"{path}?model=another")).text

    with_api(tmp_path / "a.db", scenario)


def test_pages_and_polls_stay_small_whatever_there_is(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with member(system, api, "n" * 120) as (own_api, client, _), visitor(system.gateway) as admin:
            await sign_in(admin, ADMIN_KEY)
            text = "words & <signs> " * 12_000
            long = await submit(own_api, text, metadata={f"name {number}": "v" * 500 for number in range(16)})
            jobs = [await submit(own_api, model=MANY[-1].id) for _ in range(25)]
            for job in (long, *jobs):
                await ended(own_api, job)
            for path in ("/jobs/now", "/overview/now"):
                assert len((await admin.get(path, headers=PART)).content) <= MOST_BYTES_OF_A_POLL, path
            for path in ("/models", "/nodes/now", f"/models/{MANY[-1].id}", f"/nodes/{system.node_ids[0]}/now"):
                assert len((await admin.get(path, headers=PART)).content) <= MOST_BYTES_OF_A_POLL, path
            for path in (f"/jobs/{long}", "/jobs", "/models", "/"):
                assert len((await admin.get(path)).content) <= MOST_BYTES_OF_A_PAGE, path
            whole = (await client.get(f"/jobs/{long}/prompt.json")).json()
            assert whole["messages"][0]["content"] == text

    with_api(tmp_path / "a.db", scenario, models=MANY, nodes=1)


def test_a_job_that_moved_tells_where_it_was_and_why_it_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        models = [replicated(SIM, 2)]
        faults = {EngineId("sim/0"): {"die_at_token": 3}, EngineId("sim/1"): {"die_at_token": 3}}
        async with PlainSystem(tmp_path / "a.db", models=models, nodes=2, faults=faults) as system:
            await system.ready()
            async with system.client() as api, visitor(system.gateway) as client:
                await sign_in(client, ADMIN_KEY)
                job = await submit(api, max_tokens=10)
                await ended(api, job)
                page = (await client.get(f"/jobs/{job}")).text
                assert "moved: engine died" in page
                assert "Attempt 2" in page
                assert page.count("<td>first token</td>") == 2

    run(scenario())


def test_what_is_wrong_is_told_first_and_in_the_engines_words(tmp_path: Path) -> None:
    async def scenario() -> None:
        quick = replace(QUICK, offline_after_s=0.3)
        async with PlainSystem(tmp_path / "a.db", models=[SIM, BROKEN], nodes=2, timing=quick) as system:
            await system.ready(1)
            async with visitor(system.gateway) as client:
                await sign_in(client, ADMIN_KEY)
                await until(lambda: tells(client, "/", "Model broken failed"), "the failure told")
                for path in ("/", "/models", "/models/broken"):
                    assert "CUDA out of memory &lt;here&gt;" in (await client.get(path)).text, path
                await system.kill_node(system.node_ids[-1])
                await until(lambda: tells(client, "/", "is offline"), "the node told offline")

    run(scenario())


async def tells(client: httpx.AsyncClient, path: str, text: str) -> bool:
    return text in (await client.get(path)).text


SLOW = replace(SIM, engine={**SIM.engine, "token_s": 0.02})
MANY: list[Model] = [replace(SIM, engine={**SIM.engine, "context_length": 100_000})] + [
    replace(SIM, id=f"{'long-name-' * 6}{number}", aliases=(), cpus=0.0, price=Price(1.0, 2.0)) for number in range(60)
]
BROKEN = replace(SIM, id="broken", aliases=(), engine={"fail_on_load": "Trying\nCUDA out of memory <here>"})
