"""A receiver of webhooks in a test's own loop: it notes what it is sent, and answers as it is told."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.plain_system import PATIENCE_S


class Told(NamedTuple):
    """One attempt, as it was received."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


Answers = Callable[[Told], int | Response]


class Receiver:
    """`answers` may be changed at any time. One that is `held` answers when it is let go."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.port = 0
        self.answers: Answers = lambda _: 204
        self.held: dict[str, asyncio.Event] = {}
        self._more = asyncio.Condition()

    def url(self, path: str = "/hook", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def of(self, path: str) -> list[Told]:
        return [each for each in self.told if each.path == path]

    async def hears(self, wanted: Callable[[], object], what: str = "the webhook") -> None:
        """Wait until this is so, looking whenever something has been told."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._more:
                await self._more.wait_for(wanted)
        except TimeoutError:
            raise AssertionError(f"{what} did not come; what came: {[each.event for each in self.told]}") from None

    async def serve(self, request: Request) -> Response:
        told = Told(request.url.path, dict(request.headers), await request.body())
        async with self._more:
            self.told.append(told)
            self._more.notify_all()
        if told.path in self.held:
            await self.held[told.path].wait()
        answer = self.answers(told)
        return Response(status_code=answer) if isinstance(answer, int) else answer


@asynccontextmanager
async def receiver(certificate: tuple[str, str] | None = None) -> AsyncIterator[Receiver]:
    """With a `certificate` and its key, both files, it speaks TLS."""
    host = Receiver()
    app = Starlette(routes=[Route("/{path:path}", host.serve, methods=["GET", "POST"])])
    files: dict[str, Any] = {}
    if certificate is not None:
        files = {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1], "ssl_version": ssl.PROTOCOL_TLS_SERVER}
    config = uvicorn.Config(app, log_config=None, log_level="critical", timeout_graceful_shutdown=0, **files)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host.port = listening.getsockname()[1]
        serving = asyncio.create_task(server.serve([listening]))
        yield host
        server.should_exit = server.force_exit = True
        await serving
