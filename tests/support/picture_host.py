"""A host of pictures in a test's own loop, and names that lead to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.pictures import picture

HOST = "pictures.test"
RED = picture("red")


async def _large() -> AsyncIterator[bytes]:
    for _ in range(10):
        yield b"x" * 1000


async def _silence() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


class Host:
    """A host of pictures in this loop, and names that lead to it. It notes what it is asked, and under which name."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.looked_up: list[str] = []
        self.port = 0

    async def lookup(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(host)
        return ["127.0.0.1"]

    async def serve(self, request: Request) -> Response:
        self.asked.append((request.headers["host"], request.url.path))
        match request.url.path:
            case "/red.png":
                return Response(RED, media_type="image/png")
            case "/large":
                return StreamingResponse(_large())
            case "/silence":
                return StreamingResponse(_silence())
            case "/to":
                return RedirectResponse(request.query_params["url"])
            case "/round":
                return RedirectResponse("/round")
        return PlainTextResponse("no", 404)

    def url(self, path: str, host: str = HOST) -> str:
        return f"http://{host}:{self.port}{path}"


@asynccontextmanager
async def picture_host() -> AsyncIterator[Host]:
    host = Host()
    app = Starlette(routes=[Route("/{path:path}", host.serve)])
    config = uvicorn.Config(app, log_config=None, log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host.port = listening.getsockname()[1]
        serving = asyncio.create_task(server.serve([listening]))
        yield host
        server.should_exit = server.force_exit = True
        await serving
