"""The HTTP API as one class: requests, answers, and streams that mend themselves."""

import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from httpx_sse import EventSource

from api.cli.connection import Connection, resolve
from api.cli.proxies import http_client
from api.cli.responses import Json, Reader, RemoteError, Said, check, parse, parse_job, parse_list
from cluster.clock import wall_ms

_API = "/api/v1"
_CONNECT_TIMEOUT_S = 5
_TIMEOUT_S = 30
# A stream without news has a comment after `Timing.silence_s`, 5 s, or twice that at most. Four missed: it is lost.
_SILENCE_S = 45
# Together long enough for a control plane to restart; the first break is mended at once.
_PAUSES_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
# What a server, or the proxy before it, answers while a part of it is being replaced.
_PASSING = frozenset({429, 500, 502, 503, 504})


class Client:
    """A server's API with one key.

    Every call raises RemoteError for a refusal and httpx.HTTPError when no whole answer comes.
    `headers` are those of the last answer, refusals and streams included: X-Job-Id, X-RateLimit-*.
    `pauses_s` are the waits before each attempt to mend a broken stream; text that arrives starts them anew.
    `timeout_s` is how long an answer may take.
    """

    def __init__(
        self, connection: Connection, pauses_s: Iterable[float] = _PAUSES_S, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self.url = connection.url
        self._key = connection.key
        self.headers = httpx.Headers()
        self._pauses_s = tuple(pauses_s)
        self._http = http_client(
            base_url=connection.url,
            headers={"Authorization": f"Bearer {connection.key}"},
            timeout=_timeout(timeout_s),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(self, body: Mapping[str, Any]) -> Json:
        """The new job, pending."""
        return parse_job(self._call("POST", f"{_API}/jobs", json={**body, "stream": False}))

    def job(self, job_id: str, wait: int | None = None) -> Json:
        """The job as it stands; with `wait`, as it stands when it ends or after that many seconds (0-60)."""
        timeout = _timeout(_TIMEOUT_S + (wait or 0))
        return parse_job(self._call("GET", _job_path(job_id), params=_given(wait=wait), timeout=timeout))

    def placement(self, job_id: str) -> Json:
        """Why the job waits, or runs where it runs."""
        return parse_list(self._call("GET", f"{_job_path(job_id)}/placement"), "attempts")

    def cancel(self, job_id: str) -> Json:
        """The job, cancelled."""
        return parse_job(self._call("POST", f"{_job_path(job_id)}/cancel"))

    def remove(self, job_id: str) -> None:
        """Remove a job that has ended."""
        self._call("DELETE", _job_path(job_id))

    def jobs(self, **filters: str | int | None) -> Json:
        """`{"jobs": [...]}`, newest first, and `next_cursor` when more follow: `limit`, `status`, `since`, ..."""
        params = _given(**filters)
        return parse_list(self._call("GET", f"{_API}/jobs", params=params), "jobs")

    def models(self, all: bool = False) -> Json:
        """`{"models": [...]}`: those ready to serve, or with `all` the whole catalogue and its states."""
        params = {"all": "true"} if all else {}
        return parse_list(self._call("GET", f"{_API}/models", params=params), "models")

    def nodes(self) -> Json:
        """`{"nodes": [...]}`: the machines of the cluster."""
        return parse_list(self._call("GET", f"{_API}/nodes"), "nodes")

    def listed(self, path: str, name: str, **params: str | int | None) -> Json:
        """What the API has under this path: an object with a list of objects under `name`."""
        return parse_list(self._call("GET", f"{_API}{path}", params=_given(**params)), name)

    def read(self, path: str, **params: str | int | None) -> Json:
        """The object that the API has under this path."""
        return parse(self._call("GET", f"{_API}{path}", params=_given(**params)))

    def parts(self, path: str, **params: str | int | None) -> Iterator[bytes]:
        """What the API has under this path that is no JSON, as it comes."""
        with self._http.stream("GET", f"{_API}{path}", params=_given(**params)) as response:
            self.headers = response.headers
            if not response.is_success:
                response.read()
            yield from check(response).iter_bytes()

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """Have the API do something. What it answers, or nothing where it answers nothing."""
        answer = self._call(method, f"{_API}{path}", **({} if body is None else {"json": body}))
        return parse(answer) if answer else {}

    def uses(self, prefix: str) -> bool:
        """Whether this client's own key begins so."""
        return bool(prefix) and self._key.startswith(prefix)

    def ready(self) -> bool:
        """Whether the server can accept a job."""
        try:
            self._call("GET", "/readyz")
        except RemoteError as error:
            if error.status == httpx.codes.SERVICE_UNAVAILABLE:
                return False
            raise
        return True

    def server_time(self) -> datetime:
        """The server's clock at its last answer, in whole seconds; ours where it does not tell."""
        date = self.headers.get("Date")
        return parsedate_to_datetime(date) if date else datetime.fromtimestamp(wall_ms() / 1000, UTC)

    def stream(self, body: Mapping[str, Any]) -> Generator[str, None, None]:
        """Submit a job and yield its text as it comes, of whatever kind. A break is mended as `follow` does."""
        reader = Reader()
        job_id: str | None = None
        try:
            with self._events("POST", f"{_API}/jobs", json={**body, "stream": True}) as events:
                job_id = self.headers.get("X-Job-Id")
                for said in reader.read(events):
                    yield said.text
                return
        except httpx.TransportError:
            if job_id is None:
                raise
        for said in self._resume(job_id, reader):
            yield said.text

    def follow(self, job_id: str, after: int = 0) -> Generator[str, None, None]:
        """Yield a job's text, of whatever kind, from code point `after` on until it ends, with no gap and no repeat.

        A connection that breaks is opened again where it stopped: as often as text keeps coming, and a
        bounded number of times while none does. Raises RemoteError when the job fails.
        """
        for said in self._resume(job_id, Reader(after)):
            yield said.text

    def hear(self, job_id: str) -> Generator[Said, None, None]:
        """All that a job says, and of which kind it is. Otherwise as `follow`."""
        yield from self._resume(job_id, Reader())

    def _resume(self, job_id: str, reader: Reader) -> Generator[Said, None, None]:
        pauses = iter(self._pauses_s)
        while True:
            start = reader.position
            try:
                yield from self._read_on(job_id, reader)
                return
            except (httpx.TransportError, RemoteError) as error:
                if not _may_pass(error):
                    raise
                if reader.position > start:
                    pauses = iter(self._pauses_s)
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise
            time.sleep(pause_s)

    def _read_on(self, job_id: str, reader: Reader) -> Iterator[Said]:
        headers = {"Last-Event-ID": reader.last_event_id}
        with self._events("GET", f"{_job_path(job_id)}/stream", headers=headers) as events:
            yield from reader.read(events)

    @contextmanager
    def _events(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, json: Json | None = None
    ) -> Iterator[EventSource]:
        headers = {"Accept": "text/event-stream", **(headers or {})}
        timeout = _timeout(_SILENCE_S)
        with self._http.stream(method, path, headers=headers, json=json, timeout=timeout) as response:
            self.headers = response.headers
            if not response.is_success:
                response.read()
            yield EventSource(check(response))

    def _call(self, method: str, path: str, **options: Any) -> bytes:
        response = self._http.request(method, path, **options)
        self.headers = response.headers
        return check(response).content


def connect(url: str | None, key: str | None, state: Path | None) -> Client:
    """A client of the server that flags, environment and state folder name. Raises ConfigError."""
    return Client(resolve(url, key, state, os.environ))


def _may_pass(error: httpx.TransportError | RemoteError) -> bool:
    """Whether trying again can help: a job's own failure and a refusal for good stay as they are."""
    return isinstance(error, httpx.TransportError) or error.status in _PASSING


def _timeout(read_s: float) -> httpx.Timeout:
    return httpx.Timeout(read_s, connect=_CONNECT_TIMEOUT_S)


def _job_path(job_id: str) -> str:
    return f"{_API}/jobs/{quote(job_id, safe='')}"


def _given(**params: str | int | None) -> dict[str, str | int]:
    return {name: value for name, value in params.items() if value is not None}
