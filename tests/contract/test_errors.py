"""Every refusal has its status and one shape; `client.check` looks at the shape of each."""

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.contract.client import Api, answered, refused
from tests.contract.given import question

CAP = 1024 * 1024


@pytest.mark.parametrize("path", ["/nowhere", "/jobs/", "/models/", "/jobs/a/b/c", "/", "", "//jobs", "/keys/"])
def test_unknown_paths(api: Api, path: str) -> None:
    refused(api.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/nowhere", "/api", "/API/v1/jobs"])
def test_unknown_paths_outside(admin: Api, path: str) -> None:
    refused(admin.request("GET", path), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v1/", "/v1/chat/completions/x"])
def test_unknown_paths_under_v1_answer_in_openais_shape(api: Api, path: str) -> None:
    refused(api.request("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/jobs"),
        ("PATCH", "/api/v1/jobs/job_0000000000000000"),
        ("POST", "/api/v1/models"),
        ("GET", "/api/v1/jobs/job_0000000000000000/cancel"),
        ("PATCH", "/api/v1/keys"),
        ("DELETE", "/v1/models"),
        ("GET", "/v1/chat/completions"),
    ],
)
def test_another_method(api: Api, method: str, path: str) -> None:
    response = api.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert method not in response.headers.get("Allow", "")


def padded(model: str, size: int) -> bytes:
    body = json.dumps(question(model)).encode()
    return body + b" " * (size - len(body))


def test_a_body_may_have_1_mib(api: Api, fast: str) -> None:
    answered(api.post("/jobs", content=padded(fast, CAP)))


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/chat/completions", "/api/v1/keys"])
def test_a_larger_body_is_refused(api: Api, fast: str, path: str) -> None:
    refused(api.request("POST", path, content=padded(fast, CAP + 1)), 413, "payload_too_large")


def test_a_larger_body_in_chunks_is_refused(api: Api, fast: str) -> None:
    def chunks() -> Iterator[bytes]:
        body = padded(fast, CAP + 1)
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    refused(api.post("/jobs", content=chunks()), 413, "payload_too_large")


NOT_JSON = {
    "empty": b"",
    "blank": b"  ",
    "half": b'{"model": ',
    "text": b"hello",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "a string": b'"model"',
    "not utf-8": b'{"model": "\xff\xfe"}',
    "utf-16": '{"model": "x"}'.encode("utf-16"),
    "single quotes": b"{'model': 'x'}",
    "trailing comma": b'{"model": "x",}',
    "two documents": b"{} {}",
    "deep": b'{"model":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "form": b"model=x&messages=y",
}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/chat/completions", "/api/v1/keys"])
def test_a_body_that_is_no_json_object(api: Api, path: str, content: bytes) -> None:
    refused(api.request("POST", path, content=content), 400, "bad_request")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
def test_the_content_type_does_not_matter(api: Api, fast: str, content_type: str) -> None:
    body = json.dumps(question(fast)).encode()
    answered(api.post("/jobs", content=body, headers={"Content-Type": content_type}))


RAW = {
    "no version": b"GET /api/v1/jobs\r\n\r\n",
    "no request": b"hello\r\n\r\n",
    "a bad header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
    "a bad length": b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
    "a negative length": b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a huge header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", RAW.values(), ids=RAW.keys())
def test_what_is_no_http_is_refused_and_hurts_nobody(admin: Api, request_bytes: bytes) -> None:
    """The proxy refuses it, in the proxy's own words: the one answer that the contract's shape does not cover."""
    address = urlsplit(admin.url)
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=30) as connection:
        connection.sendall(request_bytes)
        status = int(connection.recv(65536).split()[1])
    assert 400 <= status < 500
    answered(admin.get("/models"))


def test_the_message_names_the_field(api: Api, fast: str) -> None:
    message = refused(api.post("/jobs", question(fast, temperature=3)), 400, "bad_request", "temperature")
    assert message.startswith("temperature")
    body = {"model": fast, "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": 1}]}
    refused(api.post("/jobs", body), 400, "bad_request", "messages[1].content")
