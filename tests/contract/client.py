"""An HTTP client that holds every answer it gets against the rules that hold for all of them."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from tests.contract.streams import Told, events, read

BASE = "/api/v1"
UNAUTHORIZED = {"error": "unauthorized", "error_message": "Invalid or expired bearer token"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
JOB_ID = re.compile(r"job_[0-9a-f]{16,}")
NODE_ID = re.compile(r"node_[0-9a-f]{16,}")

# Code by status, as the contract's table has them.
CODES = {
    400: {"bad_request", "context_length_exceeded"},
    401: {"unauthorized"},
    402: {"budget_exceeded"},
    403: {"forbidden"},
    404: {
        "model_not_found",
        "job_not_found",
        "node_not_found",
        "key_not_found",
        "account_not_found",
        "webhook_not_found",
        "delivery_not_found",
        "not_found",
    },
    405: {"method_not_allowed"},
    409: {"conflict"},
    413: {"payload_too_large"},
    429: {"rate_limited"},
    500: {"internal_error"},
    503: {"no_capacity"},
}
# What the OpenAI layer calls them.
OPENAI_CODES = {401: "invalid_api_key", 402: "insufficient_quota", 429: "rate_limit_exceeded"}
# Codes of jobs that fail after they were accepted: /v1 answers with them, having waited for the end.
_FAILURES = {"timeout", "node_disconnected", "cancelled", "engine_error", "no_capacity"}
_PUBLIC = re.compile(r"/(healthz|readyz|health|ping|metrics|docs|openapi\.json)$|/api/v1/nodes/[^/]+/status$")
# Made once: it takes longer than a request.
_TLS = ssl.create_default_context()
Json = dict[str, Any]


class Api:
    """The contract's paths with one key. Without a key no Authorization is sent."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url, self.key = url, key
        given = {"Authorization": f"Bearer {key}"} if key is not None else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self.http = httpx.Client(base_url=url, headers=given, timeout=90, limits=limits, verify=_TLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def another(self) -> "Api":
        """The same key on connections of its own, which may lead to another replica."""
        return Api(self.url, self.key)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = self.http.request(method, path, **options)
        check(response)
        return response

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", BASE + path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return self.request("POST", BASE + path, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.request("PATCH", BASE + path, json=body, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", BASE + path, **options)

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        with self.http.stream(method, BASE + path, **options) as response:
            if response.status_code != 200:
                response.read()
            check(response)
            yield response

    # What most tests do on the way to what they are about.

    def submit(self, body: Json, **options: Any) -> Json:
        """A job accepted; fails for any other answer."""
        return answered(self.post("/jobs", body, **options))

    def job(self, job_id: str) -> Json:
        return answered(self.get(f"/jobs/{job_id}"))

    def ended(self, job_id: str) -> Json:
        """The job once it has ended."""
        job = answered(self.get(f"/jobs/{job_id}", params={"wait": 60}))
        assert job["status"] in ("completed", "failed"), job
        return job

    def run(self, body: Json, **options: Any) -> Json:
        """The job, ended."""
        return self.ended(self.submit(body, **options)["id"])

    def read(self, job_id: str, after: int | None = None, headers: dict[str, str] | None = None) -> Told:
        """What the job's stream tells from there to its end."""
        params = {} if after is None else {"after": after}
        start = after if after is not None else int((headers or {}).get("Last-Event-ID", 0))
        with self.stream("GET", f"/jobs/{job_id}/stream", params=params, headers=headers) as response:
            return read(response, start)

    def read_some(self, job_id: str, pieces: int = 1) -> str:
        """The first of the job's text, as soon as there is some; then the reader leaves."""
        text = ""
        with self.another() as another, another.stream("GET", f"/jobs/{job_id}/stream") as response:
            for event in events(response):
                assert not event.ends, event
                text += event.text
                pieces -= bool(event.text)
                if not pieces:
                    break
        return text

    def submit_streamed(self, body: Json, **options: Any) -> tuple[str, Told]:
        """The job's id, and what the stream of its submission told."""
        with self.stream("POST", "/jobs", json={**body, "stream": True}, **options) as response:
            assert response.status_code == 200, response.text
            return response.headers["X-Job-Id"], read(response)


def answered(response: httpx.Response, status: int = 200) -> Json:
    assert response.status_code == status, response.text
    body: Json = response.json()
    return body


def refused(response: httpx.Response, status: int, code: str, naming: str = "") -> str:
    """The message of this refusal, which names what is wrong. `code` is the native API's."""
    assert response.status_code == status, (response.status_code, response.text[:500])
    error = response.json()["error"]
    told, message = (error["code"], error["message"]) if isinstance(error, dict) else (error, _message(response))
    assert told == (OPENAI_CODES.get(status, code) if isinstance(error, dict) else code), response.text
    assert naming in message, response.text
    return str(message)


def is_openais(path: str) -> bool:
    """Whether this path is of the OpenAI layer, which answers in that shape."""
    return re.match(r"/(v1|v2|tokenize|detokenize|score|rerank)(/|$)", path) is not None


def check(response: httpx.Response) -> None:
    """What holds for every answer."""
    path = response.request.url.path
    if not 200 <= response.status_code < 300:
        _check_error(response, openai=is_openais(path))
    guarded = re.match(r"/(api|v1|v2|tokenize|detokenize|score|rerank)(/|$)", path) and not _PUBLIC.search(path)
    if guarded and response.status_code != 401:
        check_rate_headers(response)
    else:
        assert not [name for name in response.headers if name.lower().startswith("x-ratelimit")]


def check_rate_headers(response: httpx.Response) -> None:
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    assert all(name in response.headers for name in names), (response.request.url, response.headers)
    limit, remaining, reset = (int(response.headers[name]) for name in names)
    assert 0 <= remaining <= limit
    assert reset % 60 == 0
    if response.status_code == 429:
        assert remaining == 0
        assert int(response.headers["Retry-After"]) >= 1


def _check_error(response: httpx.Response, openai: bool) -> None:
    assert response.status_code in CODES or openai, (response.status_code, response.text[:500])
    if response.request.method == "HEAD":
        return
    assert response.headers["Content-Type"].split(";")[0] == "application/json", response.text[:500]
    body = response.json()
    codes = CODES.get(response.status_code, set())
    if openai:
        assert set(body) == {"error"}, body
        assert set(body["error"]) == {"message", "type", "param", "code"}, body
        code, message = body["error"]["code"], body["error"]["message"]
        codes = {OPENAI_CODES.get(response.status_code, code) for code in codes} | _FAILURES
    else:
        assert set(body) == {"error", "error_message"}, body
        code, message = body["error"], body["error_message"]
    assert code in codes, (response.status_code, body)
    assert isinstance(message, str)
    assert message
    if response.status_code == 401:
        assert response.headers["WWW-Authenticate"] == "Bearer"


def _message(response: httpx.Response) -> str:
    return str(response.json()["error_message"])
