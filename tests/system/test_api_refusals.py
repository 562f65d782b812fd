"""What the HTTP door refuses: tokens, bodies, paths, and what is too much; and what fails inside."""

import json
from typing import Any

import pytest

from api.http.dependencies import MAX_BODY_BYTES
from cluster.messages.people import KeyLimits
from tests.support.api_jobs import BODY
from tests.support.http_door import bare_client, is_error
from tests.support.plain_system import ADMIN_KEY, run


def test_identifiers_that_no_database_holds_name_nothing() -> None:
    async def main() -> None:
        async with bare_client() as client:
            for path in ("jobs/job_%00", "jobs/%00/stream", "jobs/%00/placement"):
                assert is_error(await client.get(f"/api/v1/{path}"), 404, "job_not_found")
            assert is_error(await client.post("/api/v1/jobs/%00/cancel"), 404, "job_not_found")
            assert is_error(await client.delete("/api/v1/keys/%00"), 404, "key_not_found")

    run(main())


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer    ",
        "Bearer nothing",
        f"Bearer {ADMIN_KEY}x",
        f"Bearer {ADMIN_KEY} x",
        f"Basic {ADMIN_KEY}",
        ADMIN_KEY,
        "Bearer " + "é" * 40,
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/nowhere", "/api/v2"])
def test_every_bad_token_gets_the_same_answer(header: str | None, path: str) -> None:
    async def main() -> None:
        async with bare_client(key=None) as client:
            headers = {} if header is None else {b"Authorization": header.encode()}
            response = await client.get(path, headers=headers)
            assert is_error(response, 401, "unauthorized")
            assert response.json()["error_message"] == "Invalid or expired bearer token"
            assert response.headers["www-authenticate"] == "Bearer"
            assert "x-ratelimit-limit" not in response.headers

    run(main())


def test_the_scheme_is_matched_in_any_case() -> None:
    async def main() -> None:
        async with bare_client(key=None) as client:
            response = await client.get("/api/v1/nowhere", headers={"Authorization": f"bEaReR {ADMIN_KEY}"})
            assert is_error(response, 404, "not_found")

    run(main())


def test_bad_bodies_are_refused_and_the_field_is_named() -> None:
    cases: list[tuple[str | dict[str, Any], str]] = [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "Request body"),
        ("null", "Request body"),
        ('{"model": ' + "[" * 100_000, "JSON"),
        (json.dumps(BODY)[:-1] + ', "unknown": ' + "[" * 1000 + "]" * 1000 + "}", "JSON"),
        (json.dumps(BODY)[:-1] + ', "max_tokens": ' + "9" * 5000 + "}", "JSON"),
        (json.dumps(BODY)[:-1] + ', "max_tokens": 1e400}', "max_tokens"),
        (json.dumps(BODY)[:-1] + ', "temperature": 1e400}', "temperature"),
        (json.dumps(BODY)[:-1] + ', "seed": 1e400}', "seed"),
        (json.dumps(BODY)[:-1] + ', "top_p": -1e400}', "top_p"),
        ("\ufeff" + json.dumps(BODY), "JSON"),
        (json.dumps(BODY) + "x", "JSON"),
        ({}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"model": 1}, "model"),
        ({"model": ""}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 1.0}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"max_tokens": 10**400}, "max_tokens"),
        ({"temperature": "0.7"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": 2.01}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": float("inf")}, "top_p"),
        ({"stream": 1}, "stream"),
        ({"stream": "true"}, "stream"),
        ({"node_id": 5}, "node_id"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"a\0": "1"}}, "metadata"),
        ({"metadata": [["a", "b"]]}, "metadata"),
        ({"metadata": {"x" * 100_000: 1}}, "metadata." + "x" * 64 + ":"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content"),
        ({"stop": "\0"}, "stop"),
        ({"node_id": "\0"}, "node_id"),
        ({"node_id": ""}, "node_id"),
        ({"model": "\0"}, "model"),
        ({"seed": True}, "seed"),
        ('{"model": "sim", "messages": [{"role": "user", "content": "\\ud800"}]}', "JSON"),
    ]

    async def main() -> None:
        async with bare_client(KeyLimits(submissions_per_minute=1000)) as client:
            for body, names in cases:
                if isinstance(body, dict):
                    body = json.dumps((BODY | body) if body else {})
                response = await client.post("/api/v1/jobs", content=body)
                assert is_error(response, 400, "bad_request", names), body
                assert names == "JSON" or response.json()["error_message"].startswith(names), response.json()
                assert "MessageRequest" not in response.text
                assert len(response.text) < 300
            response = await client.post("/api/v1/jobs", content=b'{"model": "\xff"}')
            assert is_error(response, 400, "bad_request", "JSON")
            response = await client.post("/api/v1/jobs", json=BODY | {"model": "nothing"})
            assert is_error(response, 404, "model_not_found", "nothing")

    run(main())


def test_unknown_paths_and_methods() -> None:
    async def main() -> None:
        async with bare_client() as client:
            for path in ("/api/v1/nowhere", "/api/v1/jobs/", "/api/v2/jobs", "/api/"):
                response = await client.get(path)
                assert is_error(response, 404, "not_found")
                assert "x-ratelimit-limit" in response.headers
            for method, path in (("DELETE", "/api/v1/jobs"), ("POST", "/api/v1/models"), ("PUT", "/api/v1/jobs/x")):
                response = await client.request(method, path)
                assert is_error(response, 405, "method_not_allowed", method)
                assert "x-ratelimit-limit" in response.headers

    run(main())


def test_too_large_a_body() -> None:
    async def main() -> None:
        async with bare_client() as client:
            large = b" " * (MAX_BODY_BYTES + 1)
            assert is_error(await client.post("/api/v1/jobs", content=large), 413, "payload_too_large")

            async def parts() -> Any:
                for _ in range(3):
                    yield large[: MAX_BODY_BYTES // 2]

            assert is_error(await client.post("/api/v1/jobs", content=parts()), 413, "payload_too_large")
            assert is_error(await client.post("/api/v1/jobs", content=large[:-1]), 400, "bad_request")

    run(main())


def test_the_limits_and_their_headers() -> None:
    async def main() -> None:
        async with bare_client(KeyLimits(submissions_per_minute=2, reads_per_minute=1)) as client:
            left = []
            for _ in range(2):
                response = await client.post("/api/v1/jobs", content="refused, and charged")
                assert is_error(response, 400, "bad_request")
                left.append(response.headers["x-ratelimit-remaining"])
            assert left == ["1", "0"]
            response = await client.post("/api/v1/jobs", json=BODY)
            assert is_error(response, 429, "rate_limited")
            assert int(response.headers["retry-after"]) >= 1
            assert response.headers["x-ratelimit-limit"] == "2"
            assert response.headers["x-ratelimit-remaining"] == "0"
            assert int(response.headers["x-ratelimit-reset"]) % 60 == 0
            # Reads have a bucket of their own.
            response = await client.get("/api/v1/nowhere")
            assert is_error(response, 404, "not_found")
            assert response.headers["x-ratelimit-limit"] == "1"
            assert is_error(await client.get("/api/v1/nowhere"), 429, "rate_limited")

    run(main())


def test_what_fails_inside_stays_inside() -> None:
    async def main() -> None:
        async with bare_client() as client:
            for path in ("/api/v1/jobs", "/api/v1/jobs/job_x", "/api/v1/models", "/readyz"):
                response = await client.get(path)
                assert is_error(response, 500, "internal_error")
                assert "secret" not in response.text
                assert ("x-ratelimit-limit" in response.headers) is path.startswith("/api/")
            assert "secret" not in (await client.post("/api/v1/jobs", json=BODY)).text

    run(main())
