"""Sessions of the dashboard, and what all its pages have in common."""

from pathlib import Path

import httpx
import pytest

from cluster.messages.people import KeyLimits
from tests.support.http_door import bare_gateway, with_api
from tests.support.plain_system import ADMIN_KEY, PlainSystem, run
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


def test_pages_are_charged_to_the_key_as_reads(tmp_path: Path) -> None:
    async def scenario(system: PlainSystem, api: httpx.AsyncClient) -> None:
        async with visitor(system.gateway) as client:
            await sign_in(client, ADMIN_KEY)  # and the first page
            assert (await client.get("/nodes")).status_code == 200
            refused = await client.get("/nodes")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert "<h1>429</h1>" in refused.text

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

    with_api(tmp_path / "a.db", scenario)


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
