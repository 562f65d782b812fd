"""Pages with forms, without a browser: who may see and change what, and that whatever is typed stays a text."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from cluster.catalogue import Adapter
from cluster.ids import DeliveryId, WebhookId
from cluster.messages.webhooks import Attempted
from cluster.webhooks.schedule import DISABLE_AFTER_MS
from tests.support.http_door import with_api
from tests.support.plain_system import ADMIN_KEY, SIM, PlainSystem
from tests.support.visitors import sign_in, visitor

HOSTILE = "<script>alert(1)</script>\"'"


@asynccontextmanager
async def signed_in(system: PlainSystem, key: str = ADMIN_KEY) -> AsyncIterator[httpx.AsyncClient]:
    """Whatever this visitor asks for brings the session's token."""
    async with visitor(system.gateway) as client:
        client.headers["X-CSRF-Token"] = await sign_in(client, key)
        yield client


async def made(api: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    response = await api.post(f"/api/v1{path}", json=body)
    assert response.status_code == 201, response.text
    told: dict[str, Any] = response.json()
    return told


async def ended_job(api: httpx.AsyncClient, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    body = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 7}
    job = (await api.post("/api/v1/jobs", json=body, headers=headers)).json()["id"]
    ended = await api.get(f"/api/v1/jobs/{job}?wait=10", headers=headers)
    assert ended.json()["status"] == "completed"


def test_members_see_and_change_what_is_their_accounts(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        account = await made(api, "/accounts", name="theirs")
        member = await made(api, "/keys", name="member", account=account["id"])
        foreign = await made(api, "/keys", name="foreign")
        hook = await made(api, "/webhooks", url="https://hooks.example/foreign")
        await ended_job(api, ADMIN_KEY)
        await ended_job(api, member["key"])
        async with signed_in(system, member["key"]) as client:
            assert "<dd>1</dd>" in (await client.get("/usage")).text  # jobs
            assert (await client.get(f"/usage?account={system.principal.account_id}")).status_code == 403
            assert (await client.get("/usage?account=all")).status_code == 403
            assert (await client.get("/usage/plots?account=all")).status_code == 403
            hidden = (
                f"/settings/keys/{foreign['id']}/edit",
                f"/settings/webhooks/{hook['id']}/edit",
                f"/settings/webhooks/{hook['id']}/deliveries",
                f"/settings/webhooks/{hook['id']}/deliveries/now",
            )
            for path in hidden:
                assert (await client.get(path)).status_code == 404, path
            assert (await client.patch(f"/settings/keys/{foreign['id']}", data={"name": "mine"})).status_code == 404
            form = {"url": "https://hooks.example/mine"}
            assert (await client.patch(f"/settings/webhooks/{hook['id']}", data=form)).status_code == 404
            for verb in ("rotate", "test", "enable", "disable"):
                assert (await client.post(f"/settings/webhooks/{hook['id']}/{verb}")).status_code == 404, verb
            assert (await client.delete(f"/settings/webhooks/{hook['id']}")).status_code == 404
            for path in ("list", "new", "button", f"{account['id']}/edit"):
                assert (await client.get(f"/settings/accounts/{path}")).status_code == 403, path
            assert (await client.post("/settings/accounts", data={"name": "more"})).status_code == 403
            changed = await client.patch(f"/settings/accounts/{account['id']}", data={"name": "ours"})
            assert changed.status_code == 403
            assert (await client.patch(f"/settings/keys/{member['id']}", data={"name": "mine"})).status_code == 200

    with_api(tmp_path / "a.db", scenario)


def test_nothing_is_changed_without_the_sessions_token(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        key = await made(api, "/keys", name="key")
        hook = await made(api, "/webhooks", url="https://hooks.example/told")
        account = await made(api, "/accounts", name="team")
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            form = {"name": "stolen", "url": "https://evil.example/told"}
            for method, path in (
                ("PATCH", f"/settings/keys/{key['id']}"),
                ("POST", "/settings/accounts"),
                ("PATCH", f"/settings/accounts/{account['id']}"),
                ("POST", "/settings/webhooks"),
                ("PATCH", f"/settings/webhooks/{hook['id']}"),
                ("POST", f"/settings/webhooks/{hook['id']}/rotate"),
                ("POST", f"/settings/webhooks/{hook['id']}/test"),
                ("POST", f"/settings/webhooks/{hook['id']}/disable"),
                ("DELETE", f"/settings/webhooks/{hook['id']}"),
            ):
                assert (await client.request(method, path, data=form)).status_code == 403, path
        told = (await api.get("/api/v1/webhooks")).json()["webhooks"]
        assert [(each["url"], each["status"]) for each in told] == [(hook["url"], "enabled")]

    with_api(tmp_path / "a.db", scenario)


def test_a_webhook_that_was_disabled_says_why(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        hooks = [await made(api, "/webhooks", url=f"https://hooks.example/{number}") for number in range(3)]
        ids = [WebhookId(hook["id"]) for hook in hooks]
        now_ms = system.clock.wall_ms()
        failed = (
            (ids[0], now_ms - DISABLE_AFTER_MS, ""),
            (ids[0], now_ms, ""),
            (ids[1], now_ms, ""),
            (ids[2], now_ms, hooks[2]["url"]),
        )
        await system.ledger.record_attempts(
            [
                Attempted(DeliveryId("msg_0"), hook, 1, at_ms, 410 if gone else None, "timeout", gone_url=gone)
                for hook, at_ms, gone in failed
            ]
        )
        async with signed_in(system) as client:
            page = (await client.get("/settings/webhooks")).text
        assert page.count("It answered 410") == 1
        assert len(re.findall(r"Every attempt since \S+ failed; its deliveries say why", page)) == 1
        assert page.count("has failed</span>") == 1

    with_api(tmp_path / "infernet.db", scenario)


def test_whatever_is_typed_stays_a_text(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        account = await made(api, "/accounts", name=HOSTILE)
        key = await made(api, "/keys", name=HOSTILE, account=account["id"])
        await ended_job(api, key["key"])
        hook = await made(api, "/webhooks", url="https://hooks.example/<script>alert(1)</script>?\"'")
        async with signed_in(system) as client:
            for path in (
                "/usage?group_by=account",
                "/usage?group_by=key",
                "/settings/accounts",
                f"/settings/accounts/{account['id']}/edit",
                f"/settings/keys/{key['id']}/edit",
                "/settings/webhooks",
                "/settings/webhooks/new",
                f"/settings/webhooks/{hook['id']}/edit",
                f"/settings/webhooks/{hook['id']}/deliveries",
            ):
                response = await client.get(path)
                assert response.status_code == 200, path
                assert "<script>alert" not in response.text, path
            wrong = {
                "name": HOSTILE,
                "weight": HOSTILE,
                "budget.amount": HOSTILE,
                "budget.unit": "money",
                "url": HOSTILE,
            }
            for path in ("/settings/accounts", "/settings/webhooks"):
                response = await client.post(path, data=wrong)
                assert response.status_code == 422
                assert 'role="alert"' in response.text
                assert "<script>alert" not in response.text

    with_api(tmp_path / "a.db", scenario)


def test_what_is_the_same_in_the_form_stays_as_it_is(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        key = await made(api, "/keys", name="key", expires_at="2090-01-02T03:04:05Z", models=["sim"])
        budget = {"unit": "money", "amount": 1_500_001, "period": "month"}
        account = await made(api, "/accounts", name="team", weight=5, limits={"reads_per_minute": 7}, budget=budget)
        async with signed_in(system) as client:
            shown = {
                "name": "renamed",
                "expires_at": "2090-01-02T03:04:05",
                "models": "sim",
                "budget.unit": "tokens",
                "budget.period": "month",
                **{f"limits.{name}": str(value) for name, value in key["limits"].items()},
            }
            assert (await client.patch(f"/settings/keys/{key['id']}", data=shown)).status_code == 200
            shown = {
                "name": "team",
                "weight": "",
                "budget.amount": "1.500001",
                "budget.unit": "money",
                "budget.period": "month",
                **{f"limits.{name}": str(value) for name, value in account["limits"].items()},
            }
            assert (await client.patch(f"/settings/accounts/{account['id']}", data=shown)).status_code == 200
        told = (await api.get(f"/api/v1/keys/{key['id']}")).json()
        assert told == {**{name: value for name, value in key.items() if name != "key"}, "name": "renamed"}
        assert (await api.get(f"/api/v1/accounts/{account['id']}")).json() == {**account, "weight": 1}

    with_api(tmp_path / "a.db", scenario)


def test_the_playground_offers_what_the_key_may_ask_for_texts(tmp_path: Path) -> None:
    models = [
        replace(SIM, adapters=(Adapter("sim-poems"),)),
        replace(SIM, id="other", aliases=()),
        replace(SIM, id="vectors", aliases=(), backend="vllm", source="builtin:capitals", engine={"runner": "pooling"}),
    ]

    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        confined = await made(api, "/keys", name="confined", models=["sim"])
        nothing = await made(api, "/keys", name="nothing", models=["vectors"])
        async with signed_in(system) as client:
            page = (await client.get("/playground")).text
            assert [f'value="{name}"' in page for name in ("sim", "sim-poems", "other", "vectors")] == [1, 1, 1, 0]
        async with signed_in(system, confined["key"]) as client:
            page = (await client.get("/playground")).text
            assert [f'value="{name}"' in page for name in ("sim", "sim-poems", "other", "vectors")] == [1, 1, 0, 0]
        async with signed_in(system, nothing["key"]) as client:
            page = (await client.get("/playground")).text
            assert "infernet up" in page
            assert "<form id" not in page

    with_api(tmp_path / "a.db", scenario, models=models)


def test_the_pages_of_all_keys_follow_each_other(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        for number in range(21):
            key = await made(api, "/keys", name=f"key {number}")
            await api.delete(f"/api/v1/keys/{key['id']}")
        async with signed_in(system) as client:
            names: set[str] = set()
            address = "/settings/keys?all=true"
            for _ in range(2):
                shown = (await client.get(address)).text
                names.update(re.findall(r'<th scope="row">(key \d+)', shown))
                address = html.unescape(re.findall(r'<a href="([^"]*)">(?:Next|Previous)</a>', shown)[0])
            assert len(names) == 21

    with_api(tmp_path / "a.db", scenario)


def test_a_period_that_is_none_is_told(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with signed_in(system) as client:
            for query in (
                "period=never",
                "group_by=name",
                "period=days&since=yesterday",
                "group_by=day&after=x",
                "group_by=day&after=2026-13-01",
                "group_by=key&after=%00",
                "account=%00",
                "account=",
            ):
                assert (await client.get(f"/usage?{query}")).status_code == 400, query
            for query in ("period=days&since=&until=", "period=days&until=9999-12-31&since=0001-01-01"):
                assert (await client.get(f"/usage?{query}")).status_code == 200, query
                assert (await client.get(f"/usage/plots?{query}")).status_code == 200, query
            await ended_job(api, ADMIN_KEY)
            shown = (await client.get("/usage?period=days&until=9998-12-31&since=0001-01-01")).text
            (address,) = re.findall('href="(/api/v1/usage[^"]*)"', shown)
            assert (await client.get(html.unescape(address))).text.splitlines()[1].startswith("sim,1,")

    with_api(tmp_path / "a.db", scenario)
