"""Keys, accounts, usage and what only admins may do, through the HTTP door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from cluster.catalogue import Price
from cluster.messages.people import KeyLimits
from tests.support.http_door import bare_client, door, is_error, names_field, with_api
from tests.support.plain_system import ADMIN_KEY, QUICK, SIM, PlainSystem, run, until

JOB: dict[str, Any] = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 7}
PRICED = replace(SIM, price=Price(1.0, 2.0))
MEMBER_KEYS = {
    "id",
    "account_id",
    "name",
    "prefix",
    "role",
    "status",
    "created_at",
    "limits",
}


async def made(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """What was made by a POST that has to succeed."""
    response = await client.post(f"/api/v1/{path}", json=body)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def listed(client: httpx.AsyncClient, path: str, name: str) -> list[dict[str, Any]]:
    response = await client.get(f"/api/v1/{path}")
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()[name]
    return items


@asynccontextmanager
async def member(
    system: PlainSystem, admin: httpx.AsyncClient, name: str = "someone", **account: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A member of an account of its own: its client, and the account's id."""
    account_id = (await made(admin, "accounts", name=name, **account))["id"]
    secret = (await made(admin, "keys", name=f"of {name}", account=account_id))["key"]
    async with door(system.gateway, secret) as client:
        yield client, account_id


def test_a_key_is_shown_once_and_works(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        response = await client.post("/api/v1/keys", json={"name": "laptop é"})
        key = response.json()
        secret = key.pop("key")
        assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
        assert set(key) == MEMBER_KEYS
        assert (key["name"], key["role"], key["status"]) == ("laptop é", "member", "active")
        assert (key["account_id"], key["prefix"]) == (system.principal.account_id, secret[:9])
        assert key["limits"] == {"submissions_per_minute": 60, "submissions_per_hour": 1000, "reads_per_minute": 600}

        first, second = await listed(client, "keys", "keys")
        assert first["role"] == "admin"
        assert second == key
        assert secret not in (await client.get("/api/v1/keys")).text
        assert secret.encode() not in system.path.read_bytes()
        async with door(system.gateway, secret) as holder:
            assert (await holder.post("/api/v1/jobs", json=JOB)).status_code == 200

    with_api(database, scenario)


def test_all_that_a_key_may_have(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        key = await made(
            client,
            "keys",
            name="all",
            expires_at="2999-01-31",
            limits={"submissions_per_minute": 5, "tokens_per_minute": 1000, "reads_per_minute": None},
            budget={"unit": "tokens", "amount": 100, "period": "month"},
            models=["sim-alias", "sim"],
            role="admin",
        )
        assert key["expires_at"] == "2999-01-31T00:00:00Z"
        assert key["limits"] == {
            "submissions_per_minute": 5,
            "submissions_per_hour": 1000,
            "reads_per_minute": 600,
            "tokens_per_minute": 1000,
        }
        assert key["budget"] == {"unit": "tokens", "amount": 100, "period": "month", "spent": 0, "reserved": 0}
        assert (key["models"], key["role"]) == (["sim"], "admin")
        del key["key"]
        assert (await listed(client, "keys", "keys"))[-1] == key

    with_api(database, scenario)


def test_what_is_left_out_of_limits_is_the_accounts(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        account = await made(client, "accounts", name="slow", limits={"submissions_per_minute": 7})
        expected = {"submissions_per_minute": 7, "submissions_per_hour": 40, "reads_per_minute": 600}
        assert account["limits"] == expected
        key = await made(client, "keys", name="k", account=account["id"], limits={"reads_per_minute": 3})
        assert key["limits"] == expected | {"reads_per_minute": 3}
        key = await made(client, "keys", name="k", account=account["id"])
        assert key["limits"] == expected

    with_api(database, scenario, limits=KeyLimits(submissions_per_hour=40))


def test_a_revoked_key_is_refused(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        key = await made(client, "keys", name="lost")
        async with door(system.gateway, key["key"]) as finder:
            assert (await finder.get("/api/v1/models")).status_code == 200
            response = await client.delete(f"/api/v1/keys/{key['id']}")
            assert (response.status_code, response.content) == (204, b"")
            assert "x-ratelimit-limit" in response.headers
            assert is_error(await finder.get("/api/v1/models"), 401, "unauthorized")
        told = (await listed(client, "keys", "keys"))[-1]
        assert told["status"] == "revoked"
        assert {"revoked_at", "last_used_at"} <= set(told)
        for unknown in ("key_none", "x"):
            assert is_error(await client.delete(f"/api/v1/keys/{unknown}"), 404, "key_not_found")
        (admin_key,) = [key["id"] for key in await listed(client, "keys", "keys") if key["role"] == "admin"]
        assert is_error(await client.delete(f"/api/v1/keys/{admin_key}"), 409, "conflict")

    with_api(database, scenario, timing=replace(QUICK, key_remembered_s=0.0))


def test_an_expired_key_says_so(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        key = await made(client, "keys", name="short", expires_at="2999-01-01T00:00:00+02:00")
        assert (key["status"], key["expires_at"]) == ("active", "2998-12-31T22:00:00Z")
        expired = 32_503_680_000_000  # the year 3000
        system.gateway.now_ms = lambda: expired  # type: ignore[method-assign]
        assert (await listed(client, "keys", "keys"))[-1]["status"] == "expired"

    with_api(database, scenario)


def test_members_have_keys_of_their_own_account_only(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        async with member(system, admin, "a") as (one, account), member(system, admin, "b") as (other, others):
            mine = await made(one, "keys", name="mine")
            assert mine["account_id"] == account
            assert (await made(one, "keys", name="named", account=account))["account_id"] == account
            assert [key["name"] for key in await listed(one, "keys", "keys")] == ["of a", "mine", "named"]
            assert [key["name"] for key in await listed(other, "keys", "keys")] == ["of b"]
            assert is_error(await other.delete(f"/api/v1/keys/{mine['id']}"), 404, "key_not_found")

            post = {"name": "x", "account": others}
            assert is_error(await one.post("/api/v1/keys", json=post), 403, "forbidden", "account")
            post = {"name": "x", "role": "admin"}
            assert is_error(await one.post("/api/v1/keys", json=post), 403, "forbidden", "role")
            assert is_error(await one.get(f"/api/v1/keys?account={others}"), 403, "forbidden", "account")
            assert is_error(await one.get(f"/api/v1/usage?account={others}"), 403, "forbidden", "account")
            assert (await one.get(f"/api/v1/usage?account={account}")).status_code == 200

            names = [key["name"] for key in await listed(admin, "keys", "keys")]
            assert names == ["admin", "of a", "of b", "mine", "named"]
            assert [key["name"] for key in await listed(admin, f"keys?account={others}", "keys")] == ["of b"]
            assert (await one.delete(f"/api/v1/keys/{mine['id']}")).status_code == 204
            assert (await admin.delete(f"/api/v1/keys/{mine['id']}")).status_code == 204

    with_api(database, scenario)


def test_a_member_gives_no_more_than_its_account_has(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        budget = {"unit": "tokens", "amount": 100, "period": "all"}
        async with member(system, admin, limits={"reads_per_minute": 50}, budget=budget) as (one, _):
            response = await one.post("/api/v1/keys", json={"name": "x", "limits": {"reads_per_minute": 51}})
            assert names_field(response, "limits.reads_per_minute")
            response = await one.post("/api/v1/keys", json={"name": "x", "budget": budget | {"amount": 101}})
            assert names_field(response, "budget.amount")
            await made(one, "keys", name="x", budget=budget, limits={"reads_per_minute": 50})

    with_api(database, scenario)


def test_a_confined_key_uses_its_models_only(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        key = await made(admin, "keys", name="confined", models=["other"])
        async with door(system.gateway, key["key"]) as client:
            assert is_error(await client.post("/api/v1/jobs", json=JOB), 403, "forbidden", "model")
            assert (await client.post("/api/v1/jobs", json=JOB | {"model": "other"})).status_code == 200

    with_api(database, scenario, models=[SIM, replace(SIM, id="other", aliases=())], nodes=2)


def test_a_budget_refuses_what_it_has_no_room_for(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        budget = {"unit": "tokens", "amount": 5, "period": "all"}
        key = await made(admin, "keys", name="poor", budget=budget)
        async with door(system.gateway, key["key"]) as client:
            assert is_error(await client.post("/api/v1/jobs", json=JOB), 402, "budget_exceeded")
        assert system.rows("SELECT count(*) FROM jobs") == [(0,)]

    with_api(database, scenario)


BUDGET = {"unit": "tokens", "amount": 1, "period": "all"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "\x85"}, "name"),
        ({"name": 1}, "name"),
        ({"expires_at": "2020-01-01"}, "expires_at"),
        ({"expires_at": ""}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"expires_at": 4_000_000_000}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:60Z"}, "expires_at"),
        ({"limits": {"submissions_per_minute": 0}}, "limits.submissions_per_minute"),
        ({"limits": {"submissions_per_hour": "5"}}, "limits.submissions_per_hour"),
        ({"limits": {"reads_per_minute": 1.0}}, "limits.reads_per_minute"),
        ({"limits": {"tokens_per_minute": 2**63}}, "limits.tokens_per_minute"),
        ({"limits": []}, "limits"),
        ({"budget": {}}, "budget.unit"),
        ({"budget": BUDGET | {"unit": "euros"}}, "budget.unit"),
        ({"budget": BUDGET | {"amount": -1}}, "budget.amount"),
        ({"budget": BUDGET | {"amount": None}}, "budget.amount"),
        ({"budget": BUDGET | {"amount": 2**63}}, "budget.amount"),
        ({"budget": BUDGET | {"period": "day"}}, "budget.period"),
        ({"models": []}, "models"),
        ({"models": "sim"}, "models"),
        ({"models": ["\0"]}, "models[0]"),
        ({"account": ""}, "account"),
        ({"account": "\0"}, "account"),
        ({"role": "owner"}, "role"),
    ],
)
def test_a_bad_key_is_named(body: dict[str, Any], field: str) -> None:
    async def main() -> None:
        async with bare_client() as client:
            assert names_field(await client.post("/api/v1/keys", json={"name": "k"} | body), field)

    run(main())


def test_a_key_for_what_does_not_exist(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        response = await admin.post("/api/v1/keys", json={"name": "k", "models": ["sim", "nothing"]})
        assert is_error(response, 404, "model_not_found", "nothing")
        for limits in (None, {"reads_per_minute": 1}):
            response = await admin.post("/api/v1/keys", json={"name": "k", "account": "acct_none", "limits": limits})
            assert names_field(response, "account")
        assert len(await listed(admin, "keys", "keys")) == 1

    with_api(database, scenario)


@pytest.mark.parametrize(
    "body", [{"name": ""}, {"name": "a", "budget": {"unit": "tokens"}}, {"limits": 5, "name": "a"}]
)
def test_a_bad_account_is_named(body: dict[str, Any]) -> None:
    async def main() -> None:
        async with bare_client() as client:
            assert is_error(await client.post("/api/v1/accounts", json=body), 400, "bad_request")

    run(main())


def test_accounts(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        budget = {"unit": "money", "amount": 0, "period": "month"}
        account = await made(admin, "accounts", name="acme", budget=budget)
        assert set(account) == {"id", "name", "created_at", "weight", "budget"}
        assert account["budget"] == budget | {"spent": 0, "reserved": 0}
        first, second = await listed(admin, "accounts", "accounts")
        assert set(first) == {"id", "name", "created_at", "weight"}
        assert second == account

    with_api(database, scenario)


def test_what_only_admins_may_do(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        async with member(system, admin) as (client, _):
            for method, path in (
                ("GET", "accounts"),
                ("POST", "accounts"),
                ("POST", f"nodes/{system.node_ids[0]}/drain"),
                ("POST", "nodes/node_none/drain"),
            ):
                response = await client.request(method, f"/api/v1/{path}")
                assert is_error(response, 403, "forbidden")
                assert "x-ratelimit-limit" in response.headers
            # Nodes can be read by members.
            assert len(await listed(client, "nodes", "nodes")) == 1

    with_api(database, scenario)


def test_a_drained_node_is_given_no_more_jobs(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        drained, other = system.node_ids
        response = await admin.post(f"/api/v1/nodes/{drained}/drain")
        assert (response.status_code, response.json()["id"]) == (200, drained)
        assert response.json()["status"] == "draining"
        assert (await admin.get(f"/api/v1/nodes/{drained}")).json()["status"] == "draining"
        assert (await admin.get(f"/api/v1/nodes/{drained}/status")).json() == {"status": "online"}
        for _ in range(4):
            job_id = (await admin.post("/api/v1/jobs", json=JOB)).json()["id"]
            assert (await system.ended(job_id)).node_id == other
        assert is_error(await admin.post("/api/v1/nodes/node_none/drain"), 404, "node_not_found")

    with_api(database, scenario, models=[replace(SIM, replicas=replace(SIM.replicas, min=2, max=2))], nodes=2)


def test_usage_adds_up(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        async def usage(client: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
            return await listed(client, f"usage?{query}", "usage")

        nothing = {"jobs": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": 0}
        assert await usage(admin) == [nothing]
        assert await usage(admin, "group_by=model") == []

        async with member(system, admin) as (client, account):
            for _ in range(3):
                job_id = (await client.post("/api/v1/jobs", json=JOB)).json()["id"]
                assert (await client.get(f"/api/v1/jobs/{job_id}?wait=60")).json()["status"] == "completed"
            (total,) = await usage(client)
            assert (total["jobs"], total["completion_tokens"]) == (3, 21)
            assert total["cost"] == total["prompt_tokens"] + 2 * total["completion_tokens"]
            assert await usage(client, "group_by=model") == [{"model": "sim", **total}]
            (by_key,) = await usage(client, "group_by=key")
            assert by_key == {"key": (await listed(client, "keys", "keys"))[0]["id"], **total}
            (by_day,) = await usage(client, "group_by=day")
            job = (await client.get("/api/v1/jobs?limit=1")).json()["jobs"][0]
            assert by_day == {"day": job["completed_at"][:10], **total}
            assert await usage(client, "since=2999-01-01") == await usage(client, "until=2020-01-01") == [nothing]
            assert await usage(client, "since=2020-01-01&until=2999-01-01T00:00:00Z") == [total]
            assert await usage(admin, f"account={account}") == [total]
            assert await usage(admin) == [nothing]

    with_api(database, scenario, models=[PRICED])


def test_metrics_tell_no_secrets(database: Path) -> None:
    async def scenario(system: PlainSystem, admin: httpx.AsyncClient) -> None:
        job_id = (await admin.post("/api/v1/jobs", json=JOB)).json()["id"]
        await system.ended(job_id)
        await until(lambda: system.scheduler.leases.idle, "an engine that is idle")
        async with door(system.gateway, key=None) as prometheus:

            async def has_counted() -> bool:
                return "infernet_prompt_cache_tokens_total{" in (await prometheus.get("/metrics")).text

            await until(has_counted, "the Scheduler's counts handed in")
            response = await prometheus.get("/metrics")
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = response.text.splitlines()
        for line in (
            'infernet_jobs_total{model="sim",outcome="completed"} 1.0',
            'infernet_jobs_total{model="sim",outcome="failed"} 0.0',
            'infernet_tokens_total{kind="completion",model="sim"} 7.0',
            'infernet_queue_length{model="sim"} 0.0',
            'infernet_prompt_cache_tokens_total{kind="actual",model="sim"} 0.0',
            'infernet_replicas{model="sim",state="ready"} 1.0',
            'infernet_replicas{model="sim",state="starting"} 0.0',
            'infernet_nodes{status="online"} 1.0',
            'infernet_nodes{status="offline"} 0.0',
        ):
            assert line in lines
        for private in (ADMIN_KEY, system.principal.key_id, system.principal.account_id, job_id, "Hi"):
            assert private not in response.text

    with_api(database, scenario)


def test_a_typo_makes_no_key_and_no_account(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        for path, body, field, meant in (
            ("keys", {"name": "x", "expire_at": "2027-01-01"}, "expire_at", "expires_at"),
            ("keys", {"name": "x", "account_id": system.principal.account_id}, "account_id", "account"),
            ("keys", {"name": "x", "limits": {"token_per_minute": 5}}, "limits.token_per_minute", "tokens_per_minute"),
            ("accounts", {"name": "x", "budgets": {}}, "budgets", "budget"),
        ):
            response = await client.post(f"/api/v1/{path}", json=body)
            assert is_error(response, 400, "bad_request", f"{field}: unknown field; did you mean {meant}?")
        assert len(await listed(client, "keys", "keys")) == 1
        assert len(await listed(client, "accounts", "accounts")) == 1
        response = await client.delete(f"/api/v1/keys/{(await listed(client, 'keys', 'keys'))[0]['id']}?dry_run=true")
        assert is_error(response, 400, "bad_request", "dry_run: unknown parameter")
        assert [key["status"] for key in await listed(client, "keys", "keys")] == ["active"]

    with_api(database, scenario)
