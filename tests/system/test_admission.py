"""What every answer has in common: who may ask, what it is charged to, and how errors look."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Response
from starlette.responses import StreamingResponse

from api.http import answers
from api.http.admission import Admission
from api.http.dependencies import MAX_BODY_BYTES, Admin, Body, Caller
from api.http.front.heads import Heads
from api.http.front.request_ids import RequestIds
from api.openai.error_shape import OPENAI_ERRORS
from api.replica.door_counts import DoorCounts
from cluster.errors import Conflict, NoCapacity, Unauthorized
from cluster.ids import AccountId, KeyId
from cluster.limits.windows import Bucket, Decision, refusal
from cluster.messages.people import KeyLimits, Principal
from tests.support.plain_system import run

RESET_S = 1_800_000_000
KEYS = {"member-key": "member", "admin-key": "admin", "spent-key": "member", "strange+/~._-key==": "member"}


class Door:
    """Of the gateway, what admission asks. It notes what was charged."""

    def __init__(self) -> None:
        self.charged: list[Bucket] = []
        self.counts = DoorCounts()
        self.failing: Exception | None = None

    async def authenticate(self, token: str) -> Principal:
        if self.failing is not None:
            raise self.failing
        if token not in KEYS:
            raise Unauthorized()
        role = "admin" if KEYS[token] == "admin" else "member"
        return Principal(AccountId("acc"), KeyId(token), role, KeyLimits())  # type: ignore[arg-type]

    async def charge(self, principal: Principal, bucket: Bucket) -> Decision:
        self.charged.append(bucket)
        if principal.key_id == "spent-key":
            return Decision(False, 60, 0, RESET_S, 7)
        return Decision(True, 60, 41, RESET_S, 0)


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/jobs")
    @router.get("/nodes/{node_id}/status")
    async def answer() -> dict[str, str]:
        return {"said": "yes"}

    @router.post("/jobs")
    @router.post("/chat/completions")
    async def submit(body: Body, caller: Caller) -> dict[str, Any]:
        return {"bytes": len(body), "key": caller.key_id}

    @router.delete("/keys/{key_id}", status_code=204)
    async def revoke(key_id: str, caller: Admin) -> Response:
        return Response(status_code=204)

    @router.get("/stream")
    async def stream(broken: bool = False) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            if broken:
                raise OSError("/secret/path")
            yield b"two"

        return StreamingResponse(pieces())

    @router.get("/fails/{how}")
    async def fail(how: str) -> None:
        raise {
            "conflict": Conflict("it has ended"),
            "capacity": NoCapacity("nothing serves it"),
            "tokens": refusal(Decision(False, 1000, 0, RESET_S + 60, 9), "tokens"),
            "bug": RuntimeError("/secret/path"),
        }[how]

    @router.get("/limited")
    async def limited(limit: int) -> None: ...

    return router


class Api:
    """A client of a small application behind the real admission and the real errors."""

    def __init__(self) -> None:
        self.door = Door()
        app = FastAPI(redirect_slashes=False)
        app.state.gateway = self.door
        app.include_router(routes(), prefix="/api/v1")
        app.include_router(routes(), prefix="/v1")
        app.add_middleware(Admission)
        app.add_middleware(Heads)
        app.add_middleware(RequestIds)
        answers.add_handlers(app, OPENAI_ERRORS)
        self.app = app

    def __call__(self, method: str, path: str, key: str | None = "member-key", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= options.pop("headers", {})

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://infernet") as client:
                return await client.request(method, path, headers=headers, **options)

        return run(ask())


@pytest.fixture
def api() -> Api:
    return Api()


def limits_of(response: httpx.Response) -> tuple[str | None, ...]:
    return tuple(response.headers.get(f"X-RateLimit-{name}") for name in ("Limit", "Remaining", "Reset"))


CHARGED = ("60", "41", str(RESET_S))

# Who asks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer unknown",
        b"Bearer member-key extra",
        b"Bearer\tmember-key",
        b"Bearermember-key",
        b"member-key",
        b"Basic bWVtYmVyLWtleTo=",
        b"Token member-key",
        b"Bearer m\xc3\xa4mber-key",
        b"Bearer member-key\xff",
        b"\xff\xfe",
        b"Bearer " + b"x" * 60_000,
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/nothing", "/api", "/api/", "/api/v2"])
def test_whatever_is_no_valid_key_gets_the_same_401(api: Api, authorization: bytes, path: str) -> None:
    response = api("GET", path, None, headers={"Authorization": authorization})
    assert response.status_code == 401
    assert response.json() == {"error": "unauthorized", "error_message": "Invalid or expired bearer token"}
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert limits_of(response) == (None, None, None)
    assert api.door.charged == []


def test_no_key_and_two_keys_get_the_401_too(api: Api) -> None:
    assert api("GET", "/api/v1/jobs", None).status_code == 401
    twice = [("Authorization", "Bearer member-key"), ("Authorization", "Bearer admin-key")]

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api.app), base_url="http://infernet") as client:
            return await client.get("/api/v1/jobs", headers=twice)

    assert run(ask()).status_code == 401


@pytest.mark.parametrize(
    "authorization",
    [
        "bearer member-key",
        "BEARER member-key",
        "bEaReR   member-key",
        "  Bearer member-key\t ",
        "Bearer strange+/~._-key==",
    ],
)
def test_the_scheme_is_matched_in_any_case(api: Api, authorization: str) -> None:
    assert api("GET", "/api/v1/jobs", None, headers={"Authorization": authorization}).status_code == 200


def test_a_nodes_status_is_for_everybody_and_nothing_that_looks_like_it(api: Api) -> None:
    response = api("GET", "/api/v1/nodes/node_1/status", None)
    assert (response.status_code, limits_of(response)) == (200, (None, None, None))
    for method, path in [
        ("POST", "/api/v1/nodes/node_1/status"),
        ("GET", "/api/v1/nodes/node_1/other/status"),
        ("GET", "/api/v1/nodes//status"),
        ("GET", "/api/v1/nodes/node_1/status/"),
        ("GET", "/v1/nodes/node_1/status"),
    ]:
        assert api(method, path, None).status_code == 401, (method, path)


def test_an_admins_route_is_forbidden_to_members(api: Api) -> None:
    response = api("DELETE", "/api/v1/keys/k")
    assert (response.status_code, response.json()["error"], limits_of(response)) == (403, "forbidden", CHARGED)
    assert api("DELETE", "/api/v1/keys/k", "admin-key").status_code == 204


# What it is charged to ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "bucket"),
    [
        ("POST", "/api/v1/jobs", "submissions"),
        ("POST", "/v1/chat/completions", "submissions"),
        ("GET", "/api/v1/jobs", "reads"),
        ("GET", "/v1/chat/completions", "reads"),
        ("PUT", "/api/v1/jobs", "reads"),
        ("POST", "/api/v1/jobs/", "reads"),
        ("POST", "/api/v1/nothing", "reads"),
        ("OPTIONS", "/api/v1/jobs", "reads"),
        ("DELETE", "/api/v1/keys/k", "reads"),
    ],
)
def test_only_submissions_are_charged_as_such(api: Api, method: str, path: str, bucket: Bucket) -> None:
    api(method, path)
    assert api.door.charged == [bucket]


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/api/v1/jobs", "member-key", 200),
        ("GET", "/api/v1/stream", "member-key", 200),
        ("DELETE", "/api/v1/keys/k", "admin-key", 204),
        ("DELETE", "/api/v1/keys/k", "member-key", 403),
        ("GET", "/api/v1/limited?limit=x", "member-key", 400),
        ("GET", "/api/v1/jobs/", "member-key", 404),
        ("PUT", "/api/v1/jobs", "member-key", 405),
        ("HEAD", "/api/v1/jobs", "member-key", 200),
        ("OPTIONS", "/api/v1/jobs", "member-key", 405),
        ("GET", "/api/v1/fails/conflict", "member-key", 409),
        ("GET", "/api/v1/fails/bug", "member-key", 500),
        ("GET", "/api/v1/fails/capacity", "member-key", 503),
        ("GET", "/v1/nothing", "member-key", 404),
        ("GET", "/v1/stream", "member-key", 200),
    ],
)
def test_every_answer_to_a_known_caller_has_the_limit_headers(
    api: Api, method: str, path: str, key: str, status: int
) -> None:
    response = api(method, path, key)
    assert (response.status_code, limits_of(response)) == (status, CHARGED)


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/chat/completions"])
def test_a_spent_window_refuses(api: Api, path: str) -> None:
    response = api("POST", path, "spent-key", content=b"{}")
    assert response.status_code == 429
    assert limits_of(response) == ("60", "0", str(RESET_S))
    assert response.headers["Retry-After"] == "7"
    assert "60 requests" in response.text


def test_a_window_that_refuses_later_is_the_one_that_is_told(api: Api) -> None:
    response = api("GET", "/api/v1/fails/tokens")
    assert response.status_code == 429
    assert limits_of(response) == ("1000", "0", str(RESET_S + 60))
    assert response.headers["Retry-After"] == "9"
    assert response.json()["error_message"] == "Rate limit of 1000 tokens exceeded; retry in 9 s"


# How errors look ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/v1/jobs/", 404, "not_found"),
        ("GET", "/v1x", 404, "not_found"),
        ("PATCH", "/api/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/api/v1/fails/conflict", 409, "conflict"),
        ("GET", "/api/v1/fails/bug", 500, "internal_error"),
        ("GET", "/api/v1/limited", 400, "bad_request"),
    ],
)
def test_errors_have_exactly_two_fields(api: Api, method: str, path: str, status: int, code: str) -> None:
    response = api(method, path)
    assert (response.status_code, response.json()["error"]) == (status, code)
    assert set(response.json()) == {"error", "error_message"}
    assert "/secret/path" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/v1/jobs", "unknown", 401),
        ("GET", "/v1", "unknown", 401),
        ("DELETE", "/v1/keys/k", "member-key", 403),
        ("GET", "/v1/nothing", "member-key", 404),
        ("GET", "/v1", "member-key", 404),
        ("PATCH", "/v1/jobs", "member-key", 405),
        ("GET", "/v1/limited", "member-key", 400),
        ("GET", "/v1/fails/conflict", "member-key", 409),
        ("GET", "/v1/fails/tokens", "member-key", 429),
        ("GET", "/v1/jobs", "spent-key", 429),
        ("GET", "/v1/fails/bug", "member-key", 500),
        ("GET", "/v1/fails/capacity", "member-key", 503),
    ],
)
def test_errors_under_v1_have_openais_shape(api: Api, method: str, path: str, key: str, status: int) -> None:
    response = api(method, path, key)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert "/secret/path" not in response.text


def test_a_wrong_method_is_told_all_right_ones(api: Api) -> None:
    response = api("PUT", "/api/v1/jobs")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert api("GET", "/api/v1/keys/k").headers["Allow"] == "DELETE"


def test_what_fails_before_the_caller_is_known_says_nothing_of_the_inside(api: Api) -> None:
    api.door.failing = RuntimeError("/secret/path")
    response = api("GET", "/api/v1/jobs")
    assert response.status_code == 500
    assert response.json() == {"error": "internal_error", "error_message": "Something went wrong on our end"}


def test_an_answer_that_fails_after_it_began_breaks(api: Api) -> None:
    async def ask() -> list[str]:
        sent: list[str] = []

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError("nothing more is asked")

        async def send(message: Any) -> None:
            sent.append(message["type"])

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/stream",
            "raw_path": b"",
            "query_string": b"broken=1",
            "headers": [(b"authorization", b"Bearer member-key")],
            "app": api.app,
            "http_version": "1.1",
        }
        with pytest.raises(OSError, match="secret"):
            await api.app(scope, receive, send)
        return sent

    assert run(ask()) == ["http.response.start", "http.response.body"]


# Bodies -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["-1", "+5", "1.0", "", "²", "0x10", "1" * 5000])
def test_a_length_that_is_no_number_is_a_bad_request(api: Api, length: str) -> None:
    headers = {"Content-Length": length.encode("latin-1")}
    response = api("POST", "/api/v1/jobs", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "bad_request")
    assert "Content-Length" in response.json()["error_message"]


def test_a_body_of_the_greatest_size_passes_and_a_greater_one_does_not(api: Api) -> None:
    assert api("POST", "/api/v1/jobs", content=b"x" * MAX_BODY_BYTES).json()["bytes"] == MAX_BODY_BYTES
    response = api("POST", "/api/v1/jobs", content=b"x" * (MAX_BODY_BYTES + 1))
    assert (response.status_code, response.json()["error"], limits_of(response)) == (413, "payload_too_large", CHARGED)


def test_a_body_without_a_length_is_counted_as_it_comes(api: Api) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (MAX_BODY_BYTES // 2)

    response = api("POST", "/v1/chat/completions", content=parts())
    assert response.status_code == 413
    assert set(json.loads(response.text)) == {"error"}


def test_answers_are_counted_by_the_path_as_the_application_has_it_and_by_nothing_that_strangers_can_make_up() -> None:
    asked = [
        ("GET", "/api/v1/nodes/a/status", "member-key"),
        ("GET", "/api/v1/nodes/b/status", "member-key"),
        ("GET", "/api/v1/jobs", "unknown"),
        ("GET", "/api/v1/jobs", "spent-key"),
        ("PATCH", "/api/v1/jobs", "member-key"),
        ("BREW", "/api/v1/jobs", "member-key"),
        ("GET", "/api/v1/made/up", "member-key"),
        ("GET", "/another", "member-key"),
        ("GET", "/another", "unknown"),
    ]

    api = Api()
    for method, path, key in asked:
        api(method, path, key)
    sheet = api.door.counts.tallies.sheet()
    assert sheet is not None
    assert {tally.labels: tally.count for tally in sheet.tallies if tally.name == "requests"} == {
        ("/api/v1/nodes/{node_id}/status", "GET", "200"): 2,
        ("/api/v1/jobs", "GET", "401"): 1,
        ("/api/v1/jobs", "GET", "429"): 1,
        ("/api/v1/jobs", "PATCH", "405"): 1,
        ("/api/v1/jobs", "other", "405"): 1,
        ("", "GET", "404"): 3,
    }
