"""What requests and answers go through first and last: ids, paths, HEAD, and pages of other origins."""

import logging
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.app import create_app
from cluster.ids import JobId
from cluster.messages.people import KeyLimits
from tests.support.http_door import bare_client, bare_gateway, is_error, with_api
from tests.support.plain_system import ADMIN_KEY, PlainSystem, run

PAGE = "https://page.example"
BODY: dict[str, Any] = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def page_client(*origins: str, key: str | None = ADMIN_KEY, limits: KeyLimits | None = None) -> httpx.AsyncClient:
    """An application with nothing behind it but the keys, which pages of these origins may ask."""
    app = create_app(bare_gateway(limits), origins)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://infernet",
        headers={"Authorization": f"Bearer {key}"} if key else {},
    )


# Ids ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a", "req-1.2:3/4+5=6@7_8", "x" * 128])
def test_a_clients_id_comes_back(given: str) -> None:
    async def main() -> None:
        async with bare_client() as client:
            response = await client.get("/healthz", headers={"X-Request-Id": given})
            assert response.headers.get_list("X-Request-Id") == [given]

    run(main())


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", "-a", "é".encode(), '"a"', "a;b", "a,b"])
def test_what_is_no_id_is_replaced(given: Any) -> None:
    async def main() -> None:
        async with bare_client() as client:
            headers = {} if given is None else {"X-Request-Id": given}
            response = await client.get("/healthz", headers=headers)
            assert UUID(response.headers["X-Request-Id"])

    run(main())


def test_of_two_ids_none_counts() -> None:
    async def main() -> None:
        async with bare_client() as client:
            response = await client.get("/healthz", headers=[("X-Request-Id", "a"), ("X-Request-Id", "b")])
            assert UUID(response.headers["X-Request-Id"])

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PUT", "/api/v1/jobs", 405),
        ("POST", "/api/v1/jobs", 400),
        ("POST", "/v1/chat/completions", 400),
        ("GET", "/api/v1/usage", 500),
    ],
)
def test_every_answer_has_an_id(method: str, path: str, status: int) -> None:
    async def main() -> None:
        async with bare_client() as client:
            response = await client.request(method, path, headers={"X-Request-Id": "mine"})
            assert (response.status_code, response.headers["X-Request-Id"]) == (status, "mine")

    run(main())


def test_who_is_not_let_in_is_told_the_id() -> None:
    async def main() -> None:
        async with bare_client(key=None) as client:
            response = await client.get("/api/v1/jobs", headers={"X-Request-Id": "mine"})
            assert (response.status_code, response.headers["X-Request-Id"]) == (401, "mine")
        async with bare_client(KeyLimits(reads_per_minute=1)) as client:
            await client.get("/v1/nowhere")
            response = await client.get("/v1/nowhere", headers={"X-Request-Id": "mine"})
            assert (response.status_code, response.headers["X-Request-Id"]) == (429, "mine")

    run(main())


@pytest.mark.parametrize("path", ["/api/v1/usage", "/v1/models", "/api/v1/nodes"])
def test_the_line_of_a_500_names_the_id_and_nothing_of_the_inside(path: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> str:
        async with bare_client() as client:
            response = await client.get(path)
            assert response.status_code == 500
            return response.headers["X-Request-Id"]

    with caplog.at_level(logging.ERROR, "api"):
        request_id = run(main())
    assert caplog.messages == [f"request {request_id}: GET {path} failed: RuntimeError"]


# Paths --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz/", 200),
        ("GET", "//healthz", 200),
        ("GET", "/healthz//", 200),
        ("GET", "/openapi.json/", 200),
        ("POST", "//v1/chat/completions", 400),
        ("POST", "/v1//chat/completions/", 400),
        ("POST", "/tokenize/", 400),
        ("GET", "/v1/", 404),
        ("GET", "/api/v1/jobs/", 404),
        ("GET", "//api/v1/jobs", 404),
    ],
)
def test_slashes_too_many_are_none_but_in_this_systems_own_api(method: str, path: str, status: int) -> None:
    async def main() -> None:
        async with page_client() as client:
            response = await client.request(method, f"http://infernet{path}")
            assert response.status_code == status

    run(main())


@pytest.mark.parametrize("path", ["//v1/models", "/v1/models/", "/%2Fv1/models", "//api/v1/jobs"])
def test_no_number_of_slashes_leads_past_the_key(path: str) -> None:
    async def main() -> None:
        async with page_client(key=None) as client:
            response = await client.get(f"http://infernet{path}")
            assert response.status_code in (401, 404)
            assert "data" not in response.json()

    run(main())


# HEAD ---------------------------------------------------------------------------------------------------------------


def test_head_is_get_without_its_body_on_every_route(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = str((await client.post("/api/v1/jobs", json=BODY)).json()["id"])
        await system.ended(JobId(job_id))
        names = {"{job_id}": job_id, "{node_id}": system.node_ids[0], "{model}": "sim"}
        paths = create_app(bare_gateway()).openapi()["paths"]
        for path in [path for path, operations in paths.items() if "get" in operations]:
            for name, value in names.items():
                path = path.replace(name, value)
            got, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers.get("content-type") == got.headers.get("content-type")
            if "X-RateLimit-Limit" in got.headers:
                assert int(head.headers["X-RateLimit-Remaining"]) == int(got.headers["X-RateLimit-Remaining"]) - 1

    with_api(database, scenario)


def test_head_of_what_is_no_get_is_told_what_there_is() -> None:
    async def main() -> None:
        async with bare_client() as client:
            response = await client.head("/v1/chat/completions")
            assert (response.status_code, response.headers["Allow"]) == (405, "POST")
            response = await client.put("/api/v1/jobs")
            assert response.headers["Allow"] == "GET, HEAD, POST"

    run(main())


def test_the_head_of_a_stream_that_goes_on_is_told_at_once(database: Path) -> None:
    async def main() -> None:
        async with PlainSystem(database) as system, system.served() as client:
            await system.ready()
            job = (await client.post("/api/v1/jobs", json=BODY | {"max_tokens": 4000})).json()
            response = await client.head(f"/api/v1/jobs/{job['id']}/stream")
            assert (response.status_code, response.content) == (200, b"")
            assert response.headers["content-type"].startswith("text/event-stream")
            assert not (await system.record(JobId(job["id"]))).status.ended
            await client.post(f"/api/v1/jobs/{job['id']}/cancel")

    run(main())


# Pages of other origins -----------------------------------------------------------------------------------------------


def asking(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,last-event-id,x-stainless-os",
    }


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/chat/completions", "/api/v1/jobs/x/stream", "/tokenize"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
def test_a_browser_asks_without_a_key_whether_a_page_may(path: str, method: str) -> None:
    async def main() -> None:
        async with page_client(PAGE, key=None) as client:
            response = await client.options(path, headers=asking(PAGE, method))
            assert response.status_code == 200
            assert response.headers["Access-Control-Allow-Origin"] == PAGE
            assert method in response.headers["Access-Control-Allow-Methods"]
            allowed = response.headers["Access-Control-Allow-Headers"].lower()
            assert {"authorization", "idempotency-key", "last-event-id"} <= set(allowed.replace(" ", "").split(","))
            assert "X-RateLimit-Limit" not in response.headers

    run(main())


@pytest.mark.parametrize("origins", [(), ("https://other.example",)])
def test_other_pages_may_not(origins: tuple[str, ...]) -> None:
    async def main() -> None:
        async with page_client(*origins, key=None) as client:
            response = await client.options("/api/v1/jobs", headers=asking(PAGE))
            assert is_error(response, 401, "unauthorized")
        async with page_client(*origins) as client:
            told = await client.get("/healthz", headers={"Origin": PAGE})
            assert told.status_code == 200
            assert not [name for name in (*told.headers, *response.headers) if name.startswith("access-control")]

    run(main())


@pytest.mark.parametrize(
    ("key", "path", "status"),
    [(None, "/api/v1/jobs", 401), (ADMIN_KEY, "/nowhere", 404), (ADMIN_KEY, "/api/v1/usage", 500)],
)
def test_a_page_can_read_what_went_wrong(key: str | None, path: str, status: int) -> None:
    async def main() -> None:
        async with page_client(PAGE, key=key) as client:
            response = await client.get(path, headers={"Origin": PAGE})
            assert response.status_code == status
            assert response.headers["Access-Control-Allow-Origin"] == PAGE
            assert {"X-Request-Id", "Retry-After"} <= exposed(response)

    run(main())


def test_a_page_that_asks_too_often_can_read_when_to_come_again() -> None:
    async def main() -> None:
        async with page_client("*", limits=KeyLimits(reads_per_minute=1)) as client:
            await client.get("/v1/nowhere", headers={"Origin": PAGE})
            response = await client.get("/v1/nowhere", headers={"Origin": PAGE})
            assert response.status_code == 429
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert {"Retry-After", *LIMIT_HEADERS} <= exposed(response) & set(canonical(response))

    run(main())


def test_a_page_can_read_a_stream_and_its_jobs_id(database: Path) -> None:
    async def main() -> None:
        async with PlainSystem(database) as system:
            await system.ready()
            app = create_app(system.gateway, [PAGE])
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Origin": PAGE}
            async with httpx.AsyncClient(transport=transport, base_url="http://infernet", headers=headers) as client:
                response = await client.post("/v1/chat/completions", json=BODY | {"stream": True})
                assert response.text.endswith("data: [DONE]\n\n")
                assert response.headers["Access-Control-Allow-Origin"] == PAGE
                assert {"X-Job-Id", *LIMIT_HEADERS} <= exposed(response) & set(canonical(response))

    run(main())


def exposed(response: httpx.Response) -> set[str]:
    return set(response.headers["Access-Control-Expose-Headers"].split(", "))


def canonical(response: httpx.Response) -> list[str]:
    """The names of its headers as they are written elsewhere."""
    names = ("X-Job-Id", "X-Request-Id", "Retry-After", *LIMIT_HEADERS)
    return [name for name in names if name in response.headers]
