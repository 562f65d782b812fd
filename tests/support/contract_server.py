"""A small real HTTP server that plays the contract, with streams that break where a test wants them to."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from api.cli.connection import Connection

KEY = "inft_0123456789abcdefghijklmnopqrstuv"
JOB = "job_9a3f2c1d00000000"
CREATED = "2026-04-30T14:23:41Z"
# Two- to four-byte characters, a cluster of two code points, and line ends that only SSE may split at.
TEXT = "Grüße, 世界! \U0001f44b\U0001f3fd a\u2028b\nend"
RATE = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "59", "X-RateLimit-Reset": "1746020400"}

End = Literal["done", "cut", "half", "silence", "error", "hang"]


@dataclass(frozen=True)
class Act:
    """What one stream does: so many events, then an end. `text` is what ids have before the position."""

    events: int = 1_000
    then: End = "done"
    size: int = 2
    status: int = 200
    replay: bool = False
    text: str = ""


@dataclass
class Stage:
    """What the server is to do, and what it has seen."""

    acts: list[Act] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    catalogue: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    job: dict[str, Any] = field(default_factory=dict)
    placement: dict[str, Any] = field(default_factory=dict)
    ready: bool = True
    page: str | None = None
    submitted: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    """What the text is before it is the answer, and where each of these ends."""
    cancelled: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    """What is answered to other requests, by `METHOD PATH` under /api/v1: a body, or several in their order.

    None is 204, a text a table, and a status, a code and a message are a refusal.
    """
    sent: list[tuple[str, Any]] = field(default_factory=list)
    """Those requests, and what they brought: a body, or parameters."""
    gate: threading.Event = field(default_factory=threading.Event)


class ContractServer:
    """The server, on a free port, in a thread. `stage` is each test's own."""

    def __init__(self) -> None:
        self.stage = Stage()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connection = Connection(self.url, KEY)
        config = uvicorn.Config(self._app(), log_config=None, log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        # The socket listens already: whoever connects before the thread is up waits in its backlog.
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.gate.set()
        self._server.should_exit = True
        self._thread.join()

    def _app(self) -> Starlette:
        api = "/api/v1"
        return Starlette(
            routes=[
                Route("/readyz", self._ready),
                Route(f"{api}/jobs", self._submit, methods=["POST"]),
                Route(f"{api}/jobs", self._jobs),
                Route(f"{api}/jobs/{{id}}", self._job),
                Route(f"{api}/jobs/{{id}}", self._remove, methods=["DELETE"]),
                Route(f"{api}/jobs/{{id}}/stream", self._stream),
                Route(f"{api}/jobs/{{id}}/placement", self._placement),
                Route(f"{api}/jobs/{{id}}/cancel", self._cancel, methods=["POST"]),
                Route(f"{api}/models", self._models),
                Route(f"{api}/nodes", self._nodes),
                Route(f"{api}/{{rest:path}}", self._other, methods=["GET", "POST", "PATCH", "DELETE"]),
            ]
        )

    async def _ready(self, request: Request) -> Response:
        return JSONResponse({}) if self.stage.ready else _error(503, "no_capacity", "Not ready")

    async def _submit(self, request: Request) -> Response:
        if not _authorised(request):
            return _unauthorised()
        body = await request.json()
        self.stage.submitted.append(body)
        if body["model"] == "none":
            return _error(404, "model_not_found", "No model 'none'")
        if body.get("stream"):
            return self._open(0, {"X-Job-Id": JOB})
        job = {"id": JOB, "status": "pending", "model": body["model"], "created_at": CREATED}
        return JSONResponse(job, headers=RATE)

    async def _stream(self, request: Request) -> Response:
        asked = request.headers.get("last-event-id")
        self.stage.asked.append(asked)
        return self._open(int((asked or "0").rpartition("-")[2]), {})

    def _open(self, position: int, headers: dict[str, str]) -> Response:
        act = self.stage.acts.pop(0) if self.stage.acts else Act()
        if act.status != 200:
            return _error(act.status, "no_capacity", "Try again")
        start = 0 if act.replay else position
        body = _bites(self._bytes(act, start))
        return StreamingResponse(body, media_type="text/event-stream", headers=RATE | headers)

    async def _bytes(self, act: Act, start: int) -> AsyncIterator[bytes]:
        cuts = range(start, len(TEXT), act.size)
        for cut in cuts[: act.events]:
            kind = next((kind for kind, end in self.stage.kinds.items() if cut < end), "text")
            yield _event(kind, TEXT[cut : cut + act.size], f"{act.text}{min(cut + act.size, len(TEXT))}")
            yield b": ping\n\n"
        match act.then:
            case "done":
                yield b"data: [DONE]\n\n"
            case "error":
                yield b'data: {"error": "node_disconnected", "message": "The node is gone"}\n\n'
            case "half":
                yield _event("lost", "1000")[:-1]
                raise ConnectionAbortedError
            case "cut":
                raise ConnectionAbortedError
            case "hang":
                await asyncio.to_thread(self.stage.gate.wait, 5)
                yield b"data: [DONE]\n\n"
            case "silence":
                pass

    async def _job(self, request: Request) -> Response:
        self.stage.queries.append(dict(request.query_params))
        if request.path_params["id"] != JOB:
            return _error(404, "job_not_found", "No such job")
        return JSONResponse(self.stage.job, headers=RATE)

    async def _remove(self, request: Request) -> Response:
        if request.path_params["id"] != JOB:
            return _error(404, "job_not_found", "No such job")
        self.stage.removed.append(JOB)
        return Response(status_code=204, headers=RATE)

    async def _placement(self, request: Request) -> Response:
        return JSONResponse({"id": JOB, **self.stage.placement})

    async def _cancel(self, request: Request) -> Response:
        if request.path_params["id"] in self.stage.ended:
            return _error(409, "conflict", "The job has ended")
        self.stage.cancelled.append(request.path_params["id"])
        return JSONResponse({"id": JOB, "status": "failed", "error": "cancelled"})

    async def _jobs(self, request: Request) -> Response:
        self.stage.queries.append(dict(request.query_params))
        first = int(request.query_params.get("cursor", "0"))
        end = first + int(request.query_params.get("limit", "20"))
        more = {"next_cursor": str(end)} if end < len(self.stage.jobs) else {}
        return JSONResponse({"jobs": self.stage.jobs[first:end], **more})

    async def _models(self, request: Request) -> Response:
        if not _authorised(request):
            return _unauthorised()
        if self.stage.page is not None:
            return Response(self.stage.page, media_type="text/html")
        all_asked = request.query_params.get("all") == "true"
        return JSONResponse({"models": self.stage.catalogue if all_asked else self.stage.models})

    async def _nodes(self, request: Request) -> Response:
        return JSONResponse({"nodes": self.stage.nodes})

    async def _other(self, request: Request) -> Response:
        asked = f"{request.method} /{request.path_params['rest']}"
        if asked not in self.stage.answers:
            raise HTTPException(404)
        if not _authorised(request):
            return _unauthorised()
        brought = await request.body()
        self.stage.sent.append((asked, json.loads(brought) if brought else dict(request.query_params)))
        answer = self.stage.answers[asked]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        match answer:
            case None:
                return Response(status_code=204, headers=RATE)
            case str(table):
                return Response(table, media_type="text/csv", headers=RATE)
            case (int(status), str(code), str(message)):
                return _error(status, code, message)
            case _:
                return JSONResponse(answer, headers=RATE)


def _event(kind: str, text: str, end: str) -> bytes:
    said = [{"index": 0, "id": "call_1", "arguments": text}] if kind == "tool_calls" else text
    return f"id: {end}\ndata: {json.dumps({kind: said}, ensure_ascii=False)}\n\n".encode()


async def _bites(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of three, which split characters and lines."""
    async for part in body:
        for start in range(0, len(part), 3):
            yield part[start : start + 3]


def _authorised(request: Request) -> bool:
    return request.headers.get("authorization") == f"Bearer {KEY}"


def _unauthorised() -> Response:
    return _error(401, "unauthorized", "Invalid or expired bearer token")


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": code, "error_message": message}, status_code=status)
