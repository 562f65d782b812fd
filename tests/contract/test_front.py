"""What holds for every request, through the real door: ids, HEAD, slashes, pages of other origins, ends of streams."""

import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.contract.client import Api, answered, refused

PAGE = "https://page.example"
"""An origin whose pages `system.yaml` lets ask."""


def only(response: httpx.Response) -> str:
    """The id that the answer tells, once."""
    (request_id,) = response.headers.get_list("X-Request-Id")
    return str(request_id)


# Ids ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json", "/v1/models", "/api/v1/nowhere", "/nowhere"])
def test_a_requests_id_comes_back(api: Api, anonymous: Api, path: str) -> None:
    for client in (api, anonymous):
        assert only(client.request("GET", path, headers={"X-Request-Id": "trace-1/2"})) == "trace-1/2"
        assert UUID(only(client.request("GET", path)))


@pytest.mark.parametrize("given", ["x" * 129, "a b", '"a"', "a,b", "{}"])
def test_what_is_no_id_is_replaced(api: Api, given: str) -> None:
    assert UUID(only(api.get("/jobs", headers={"X-Request-Id": given})))


def test_the_answers_of_jobs_have_ids(api: Api, fast: str) -> None:
    body = {"model": fast, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    with api.stream("POST", "/jobs", json=body | {"stream": True}, headers={"X-Request-Id": "mine"}) as response:
        assert only(response) == "mine"
        response.read()
    assert only(api.request("POST", "/v1/chat/completions", json=body, headers={"X-Request-Id": "mine"})) == "mine"
    refusal = api.post("/jobs", {"model": fast}, headers={"X-Request-Id": "mine"})
    assert (refusal.status_code, only(refusal)) == (400, "mine")


# HEAD and slashes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        *("/healthz", "/readyz", "/health", "/ping", "/metrics", "/docs", "/openapi.json", "/v1/models"),
        *("/api/v1/jobs", "/api/v1/models", "/api/v1/nodes", "/api/v1/keys", "/api/v1/usage"),
    ],
)
def test_head_is_get_without_its_body(api: Api, path: str) -> None:
    head = api.request("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers.get("Content-Type") == api.request("GET", path).headers.get("Content-Type")


def test_head_of_what_is_not_there(api: Api, anonymous: Api) -> None:
    assert api.request("HEAD", "/api/v1/jobs/job_0000000000000000").status_code == 404
    assert anonymous.request("HEAD", "/api/v1/jobs").status_code == 401
    assert api.request("HEAD", "/v1/chat/completions").status_code == 405


def test_the_head_of_a_stream_is_told_at_once(api: Api, slow: str) -> None:
    job = api.submit({"model": slow, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 500})
    head = api.request("HEAD", f"/api/v1/jobs/{job['id']}/stream")
    assert head.headers["Content-Type"].startswith("text/event-stream")
    assert api.job(job["id"])["status"] in ("pending", "processing")
    api.post(f"/jobs/{job['id']}/cancel")


@pytest.mark.parametrize("path", ["/healthz/", "//healthz", "/readyz//", "//v1/models", "/v1//models/", "/docs/"])
def test_slashes_too_many_are_none(api: Api, path: str) -> None:
    assert api.http.get(f"{api.url}{path}").status_code == 200


def test_a_benchmarks_address_with_a_slash_at_its_end(api: Api, fast: str) -> None:
    body = {"model": fast, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    for path in ("//v1/chat/completions", "/v1/chat/completions/"):
        assert answered(api.http.post(f"{api.url}{path}", json=body))["usage"]["completion_tokens"] == 4


# Pages of other origins -----------------------------------------------------------------------------------------------


@pytest.fixture
def page(anonymous: Api) -> str:
    """Skips where the system lets no page ask."""
    if "Access-Control-Allow-Origin" not in anonymous.request("GET", "/healthz", headers={"Origin": PAGE}).headers:
        pytest.skip(f"server.cors_origins of the system has no {PAGE}")
    return PAGE


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/chat/completions", "/api/v1/jobs/x/stream", "/healthz"])
def test_a_browser_asks_first_and_without_a_key(anonymous: Api, page: str, path: str) -> None:
    asking = {
        "Origin": page,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,last-event-id",
    }
    response = anonymous.http.options(path, headers=asking)
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (200, page)
    assert "last-event-id" in response.headers["Access-Control-Allow-Headers"]


def test_pages_of_others_may_not(anonymous: Api, page: str) -> None:
    asking = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
    response = anonymous.request("OPTIONS", "/api/v1/jobs", headers=asking)
    refused(response, 401, "unauthorized")
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_page_reads_refusals_and_streams(api: Api, anonymous: Api, page: str, fast: str) -> None:
    refusal = anonymous.get("/jobs", headers={"Origin": page})
    assert (refusal.status_code, refusal.headers["Access-Control-Allow-Origin"]) == (401, page)
    body = {"model": fast, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "stream": True}
    with api.stream("POST", "/jobs", json=body, headers={"Origin": page}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == page
        exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
        assert {"X-Job-Id", "X-Request-Id", "X-RateLimit-Remaining", "Retry-After"} <= exposed
        response.read()


# The end of streams ---------------------------------------------------------------------------------------------------


def test_an_event_source_stops_at_the_end(api: Api, fast: str) -> None:
    """As browsers have it: it connects again when the stream has ended, with the id of the last event, until a 204."""
    job = api.run({"model": fast, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 30})
    last_id, answers = "", []
    while not answers or answers[-1] == 200:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        response = api.get(f"/jobs/{job['id']}/stream", headers=headers)
        answers.append(response.status_code)
        last_id = ([last_id, *re.findall(r"^id: (.*)$", response.text, re.MULTILINE)])[-1]
    assert answers == [200, 204]


def test_it_stops_at_the_end_of_a_failed_one_too(api: Api, slow: str) -> None:
    job: Any = api.submit({"model": slow, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 500})
    api.post(f"/jobs/{job['id']}/cancel")
    events = api.get(f"/jobs/{job['id']}/stream").text
    assert '\n\nid: end\ndata: {"error":"cancelled"' in f"\n\n{events}"
    assert api.get(f"/jobs/{job['id']}/stream", headers={"Last-Event-ID": "end"}).status_code == 204
    assert api.get(f"/jobs/{job['id']}/stream", params={"after": "end"}).status_code == 204


def test_no_event_of_a_long_answer_is_longer_than_16_kib(api: Api, long: str) -> None:
    job = api.run({"model": long, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 12000})
    events = api.get(f"/jobs/{job['id']}/stream").content.split(b"\n\n")
    assert max(map(len, events)) < 16 * 1024 < sum(map(len, events))
    body = {"model": long, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 12000, "stream": True}
    headers = {"Idempotency-Key": f"long {job['id']}"}
    for _ in range(2):  # as it comes, and as it was
        chunks = api.request("POST", "/v1/chat/completions", json=body, headers=headers).content.split(b"\n\n")
        assert max(map(len, chunks)) < 16 * 1024 < sum(map(len, chunks))
