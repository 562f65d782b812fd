"""Sessions of the dashboard, and what all its pages have in common."""

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from actors.rate_limiter import RateLimiter
from actors.wire.calls import Unreachable
from api.replica.gateway import Gateway
from cluster.errors import DatabaseUnavailable
from cluster.messages.people import KeyLimits
from cluster.settings.schema import Settings
from tests.support.http_door import NoCluster, bare_gateway, with_api
from tests.support.plain_system import ADMIN_KEY, QUICK, SIM, PlainSystem, run, until
from tests.support.visitors import sign_in, visitor

PAGES = [
    "/",
    "/jobs",
    "/models",
    "/nodes",
    "/playground",
    "/usage",
    "/settings",
    "/settings/keys",
    "/settings/webhooks",
]
FOR_ADMINS = ["/settings/accounts"]


def test_every_page_sends_who_has_not_signed_in_to_sign_in_and_back_again(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            for path in PAGES + FOR_ADMINS:
                response = await client.get(path)
                assert response.url.path == "/signin"
                assert response.url.params.get("next", "/") == path
            back = await client.post("/signin", data={"key": ADMIN_KEY, "next": "/nodes"})
            assert back.url.path == "/nodes"

    with_api(tmp_path / "a.db", scenario)


def test_every_page_answers_with_its_name_as_heading_and_keeps_to_itself(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            for path in PAGES + FOR_ADMINS:
                response = await client.get(path)
                assert response.status_code == 200, path
                assert response.text.count("<h1") == 1
                policy = response.headers["content-security-policy"]
                assert policy.startswith("default-src 'self';")
                assert "unsafe" not in policy
                assert response.headers["cache-control"] == "no-store"
                assert "style=" not in response.text
                assert "//" not in response.text.replace("http://www.w3.org", "").replace("http://infernet", "")

    with_api(tmp_path / "a.db", scenario)


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example/", "/\\evil.example", "/\n/evil.example"])
def test_signing_in_leads_nowhere_else(then: str) -> None:
    async def scenario() -> None:
        async with visitor(bare_gateway()) as client:
            response = await client.post("/signin", data={"key": ADMIN_KEY, "next": then}, follow_redirects=False)
            assert response.headers.get("location") in (None, "/")

    run(scenario())


def test_a_cookie_that_was_tampered_with_is_none(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)
            cookie = client.cookies["infernet_session"]
            for forged in (cookie[:-1], cookie + "A", "x" + cookie, cookie.split(".")[0], "", "."):
                client.cookies.clear()
                client.cookies.set("infernet_session", forged)
                assert (await client.get("/nodes")).url.path == "/signin", forged
                assert (await client.get("/api/v1/nodes")).status_code == 401

    with_api(tmp_path / "a.db", scenario)


def test_a_session_outlives_the_replica_that_began_it(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client, visitor(system.new_gateway()) as elsewhere:
            await sign_in(client, ADMIN_KEY)
            elsewhere.cookies = client.cookies
            assert (await elsewhere.get("/nodes")).url.path == "/nodes"

    with_api(tmp_path / "a.db", scenario)


def test_the_api_takes_a_session_for_reading_and_for_changes_with_its_token(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            token = await sign_in(client, ADMIN_KEY)
            assert (await client.get("/api/v1/models")).status_code == 200
            for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": token[:-1]}):
                refused = await client.post("/api/v1/keys", json={"name": "stolen"}, headers=headers)
                assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
            made = await client.post("/api/v1/keys", json={"name": "wanted"}, headers={"X-CSRF-Token": token})
            assert made.status_code == 201
            # A key that is given counts, and a wrong one is not made up for by the session.
            wrong = await client.get("/api/v1/models", headers={"Authorization": "Bearer nobody"})
            assert wrong.status_code == 401

    with_api(tmp_path / "a.db", scenario)


def test_pages_change_nothing_without_the_sessions_token(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            token = await sign_in(client, ADMIN_KEY)
            node = system.node_ids[0]
            for headers, data in (({}, {}), ({"X-CSRF-Token": "x"}, {}), ({}, {"csrf_token": "x"})):
                refused = await client.post(f"/nodes/{node}/drain", headers=headers, data=data)
                assert refused.status_code == 403
            assert (await client.post("/settings/keys", data={"name": "stolen"})).status_code == 403
            assert (await client.delete("/settings/keys/key_0")).status_code == 403
            assert (await client.post("/signout")).status_code == 403
            drained = await client.post(f"/nodes/{node}/drain", headers={"X-CSRF-Token": token})
            assert "draining" in drained.text

    with_api(tmp_path / "a.db", scenario)


def test_a_session_ends_with_its_key(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        made = (await api.post("/api/v1/keys", json={"name": "short", "role": "admin"})).json()
        async with visitor(system.gateway) as client:
            await sign_in(client, made["key"])
            assert (await client.get("/nodes")).url.path == "/nodes"
            assert (await api.delete(f"/api/v1/keys/{made['id']}")).status_code == 204
            async with visitor(system.new_gateway()) as elsewhere:
                elsewhere.cookies = client.cookies
                assert (await elsewhere.get("/nodes")).url.path == "/signin"

    with_api(tmp_path / "a.db", scenario)


FORGETFUL = replace(QUICK, key_remembered_s=0.05, key_renewed_s=0.04)


async def is_let_in(client: httpx.AsyncClient, path: str = "/settings") -> bool:
    return (await client.get(path)).url.path == path


async def is_refused(client: httpx.AsyncClient) -> bool:
    """By the pages and by the API."""
    return not await is_let_in(client) and (await client.get("/api/v1/models")).status_code == 401


def test_a_copied_cookie_is_refused_everywhere_once_its_owner_has_signed_out(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with (
            visitor(system.gateway) as owner,
            visitor(system.new_gateway()) as thief,
            visitor(system.gateway) as other_browser,
        ):
            token = await sign_in(owner, ADMIN_KEY)
            await sign_in(other_browser, ADMIN_KEY)
            thief.cookies.update(owner.cookies)
            assert await is_let_in(thief)
            left = await owner.post("/signout", headers={"X-CSRF-Token": token})
            assert left.url.path == "/signin"
            assert not owner.cookies
            await until(lambda: is_refused(thief), "the copied cookie is refused")
            async with visitor(system.gateway) as same_replica, visitor(system.new_gateway()) as new_replica:
                for elsewhere in (same_replica, new_replica):
                    elsewhere.cookies.update(thief.cookies)
                    assert await is_refused(elsewhere)
            assert await is_let_in(other_browser), "another session of the same key"
            assert (await api.get("/api/v1/models")).status_code == 200

    with_api(tmp_path / "a.db", scenario, timing=FORGETFUL)


def test_who_signs_in_anew_has_left_the_session_before(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as owner, visitor(system.new_gateway()) as thief:
            await sign_in(owner, ADMIN_KEY)
            thief.cookies.update(owner.cookies)
            await sign_in(owner, ADMIN_KEY)
            await until(lambda: is_refused(thief), "the session before is refused")
            assert await is_let_in(owner)

    with_api(tmp_path / "a.db", scenario, timing=FORGETFUL)


def test_revoking_a_key_signs_out_everywhere(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        made = (await api.post("/api/v1/keys", json={"name": "lost", "role": "admin"})).json()
        async with visitor(system.gateway) as one, visitor(system.new_gateway()) as other:
            for client in (one, other):
                await sign_in(client, made["key"])
            assert (await api.delete(f"/api/v1/keys/{made['id']}")).status_code == 204
            for client in (one, other):
                await until(lambda client=client: is_refused(client), "the session of a revoked key is refused")

    with_api(tmp_path / "a.db", scenario, timing=FORGETFUL)


def test_a_session_ends_when_its_key_expires(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        made = (await api.post("/api/v1/keys", json={"name": "brief"})).json()
        async with visitor(system.gateway) as client:
            await sign_in(client, made["key"])
            soon = datetime.now(UTC) + timedelta(milliseconds=300)
            changed = await api.patch(f"/api/v1/keys/{made['id']}", json={"expires_at": soon.isoformat()})
            assert changed.status_code == 200, changed.text
            await until(lambda: is_refused(client), "the session of an expired key is refused")

    with_api(tmp_path / "a.db", scenario, timing=FORGETFUL)


def test_a_session_may_do_what_its_key_may_by_now(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        made = (await api.post("/api/v1/keys", json={"name": "busy"})).json()
        async with visitor(system.gateway) as client:
            await sign_in(client, made["key"])
            limits = {"limits": {"reads_per_minute": 1}}
            assert (await api.patch(f"/api/v1/keys/{made['id']}", json=limits)).status_code == 200

            async def is_limited() -> bool:
                return (await client.get("/settings")).status_code == 429

            await until(is_limited, "its new limits count")

    with_api(tmp_path / "a.db", scenario, timing=FORGETFUL)


def test_nobody_is_signed_out_who_cannot_be(tmp_path: Path) -> None:
    """The page says so, and the cookie stays for another try."""

    async def scenario() -> None:
        async with visitor(bare_gateway(error=DatabaseUnavailable("full"))) as client:
            signed_in = await client.post("/signin", data={"key": ADMIN_KEY}, follow_redirects=False)
            assert signed_in.status_code == 303
            token = re.search(r'"X-CSRF-Token": "([^"]+)"', (await client.get("/settings")).text)
            assert token is not None
            refused = await client.post("/signout", headers={"X-CSRF-Token": token[1]})
            assert refused.status_code == 503
            assert client.cookies

    run(scenario())


def test_pages_are_charged_to_the_key_as_reads(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)  # and the first page
            assert (await client.get("/nodes")).status_code == 200
            refused = await client.get("/nodes")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert "<h1>Too many requests</h1>" in refused.text

    with_api(tmp_path / "a.db", scenario, limits=KeyLimits(reads_per_minute=2))


def test_who_guesses_is_told_to_wait(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            for _ in range(10):
                assert (await client.post("/signin", data={"key": "guess"})).status_code == 401
            refused = await client.post("/signin", data={"key": ADMIN_KEY})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
            assert "Too many attempts" in refused.text
            # Another address, as the door tells it, is another visitor.
            elsewhere = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
            let_in = await client.post("/signin", data={"key": ADMIN_KEY}, headers=elsewhere)
            assert let_in.url.path == "/"
            for _ in range(20):
                assert (await client.post("/signin", data={"key": ADMIN_KEY}, headers=elsewhere)).url.path == "/"

    with_api(tmp_path / "a.db", scenario)


def test_who_guesses_at_several_replicas_has_no_more_attempts(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        replicas = [system.gateway, system.new_gateway(), system.new_gateway()]
        async with AsyncExitStack() as visitors:
            clients = [await visitors.enter_async_context(visitor(replica)) for replica in replicas]
            answers = await asyncio.gather(
                *(client.post("/signin", data={"key": "guess"}) for client in clients for _ in range(10))
            )
        assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 20

    with_api(tmp_path / "a.db", scenario)


def test_nobody_signs_in_while_attempts_cannot_be_counted() -> None:
    """The limit holds; the form stays, says why, and takes the key again."""

    class Uncounted(RateLimiter):
        async def try_to_sign_in(self, address: str) -> float:
            raise Unreachable("rate_limiter died")

    async def scenario() -> None:
        cluster: Any = NoCluster()
        gateway = Gateway(Settings(models=(SIM,)), cluster, Uncounted(cluster), cluster, cluster)
        async with visitor(gateway) as client:
            refused = await client.post("/signin", data={"key": ADMIN_KEY})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert "does not answer" in refused.text
            assert 'name="key"' in refused.text

    run(scenario())


def test_an_outage_locks_nobody_out() -> None:
    """What could not be looked up has not failed."""

    class Blind(NoCluster):
        async def principals(self, shown: Any) -> Any:
            if self.error is not None:
                raise self.error
            return await super().principals(shown)

    async def scenario() -> None:
        cluster: Any = Blind(error=DatabaseUnavailable("gone"))
        gateway = Gateway(Settings(models=(SIM,)), cluster, RateLimiter(cluster), cluster, cluster)
        async with visitor(gateway) as client:
            for _ in range(30):
                assert (await client.post("/signin", data={"key": ADMIN_KEY})).status_code == 503
            cluster.error = None
            let_in = await client.post("/signin", data={"key": ADMIN_KEY}, follow_redirects=False)
            assert let_in.status_code == 303

    run(scenario())


def test_cookies_are_secure_behind_tls() -> None:
    async def scenario() -> None:
        async with visitor(bare_gateway(), "https://infernet") as client:
            direct = await client.post("/signin", data={"key": ADMIN_KEY}, follow_redirects=False)
        async with visitor(bare_gateway()) as client:
            data, proxied = {"key": ADMIN_KEY}, {"X-Forwarded-Proto": "https"}
            behind = await client.post("/signin", data=data, headers=proxied, follow_redirects=False)
            plain = await client.post("/signin", data=data, follow_redirects=False)
        assert [cookie_of(each) for each in (direct, behind, plain)] == [True, True, False]

    run(scenario())


def cookie_of(response: httpx.Response) -> bool:
    """Whether the session's cookie is for TLS alone; it is never for scripts or other sites."""
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    return "; secure" in cookie


def test_members_change_nothing_that_is_for_admins(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        made = (await api.post("/api/v1/keys", json={"name": "member"})).json()
        async with visitor(system.gateway) as client:
            token = await sign_in(client, made["key"])
            node = system.node_ids[0]
            refused = await client.post(f"/nodes/{node}/drain", headers={"X-CSRF-Token": token})
            assert refused.status_code == 403
            assert "Drain" not in (await client.get("/nodes")).text
            for path in FOR_ADMINS:
                assert (await client.get(path)).status_code == 403
                assert path not in (await client.get("/settings")).text

    with_api(tmp_path / "a.db", scenario)


def test_what_is_away_is_told_as_a_page_that_says_nothing_of_the_inside() -> None:
    async def scenario() -> None:
        async with visitor(bare_gateway()) as client:
            await client.post("/signin", data={"key": ADMIN_KEY})
            response = await client.get("/nodes")
            assert response.status_code == 500
            assert response.headers["content-type"].startswith("text/html")
            assert "insides" not in response.text

    run(scenario())


def test_names_cannot_be_more_than_names(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        name = "<script>alert(1)</script>\"'"
        await api.post("/api/v1/keys", json={"name": name})
        async with visitor(system.gateway) as client:
            token = await sign_in(client, ADMIN_KEY)
            assert "<script>alert" not in (await client.get("/settings/keys")).text
            form = {"name": name, "limits.reads_per_minute": "x"}
            refused = await client.post("/settings/keys", data=form, headers={"X-CSRF-Token": token})
            assert refused.status_code == 422
            assert "<script>alert" not in refused.text

    with_api(tmp_path / "a.db", scenario)


def test_what_pages_are_made_of_is_asked_for_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with visitor(bare_gateway()) as client:
            page = (await client.get("/signin")).text
            for address in (part.partition('"')[0] for part in page.split('="')[1:] if part.startswith("/static/")):
                response = await client.get(address)
                assert response.status_code == 200, address
                assert "immutable" in response.headers["cache-control"]
            assert (await client.get("/static/../app.py")).status_code == 404
            assert (await client.get("/static/vendor/htmx.LICENSE.txt")).status_code == 200

    run(scenario())
