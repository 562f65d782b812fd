"""Fetching media: from hosts that are allowed, where a name leads once, within limits."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from api.replica.media.addresses import AddressRefused, PublicAddresses
from api.replica.media.fetching import Fetcher, FetchRefused
from cluster.settings.schema import Media
from tests.support.pictures import picture
from tests.support.plain_system import run

T = TypeVar("T")

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
async def _host() -> AsyncIterator[Host]:
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


def with_host(scenario: Callable[[Host, Fetcher], Awaitable[T]], **settings: int) -> T:
    """With a fetcher to which that host and port are allowed, and `also.test` beside."""

    async def scene() -> T:
        async with _host() as host:
            hosts = tuple(f"{name}:{host.port}" for name in (HOST, "also.test"))
            fetcher = Fetcher(Media(hosts=hosts, **settings), host.lookup)
            try:
                return await scenario(host, fetcher)
            finally:
                await fetcher.close()

    return run(scene())


def test_what_is_there_is_fetched_once_and_by_its_hosts_name() -> None:
    async def scenario(host: Host, fetcher: Fetcher) -> None:
        assert await fetcher.fetch(host.url("/red.png")) == RED
        assert host.asked == [(f"{HOST}:{host.port}", "/red.png")]
        assert host.looked_up == [HOST]

    with_host(scenario)


def test_a_redirect_to_another_host_that_is_allowed_is_followed() -> None:
    async def scenario(host: Host, fetcher: Fetcher) -> None:
        assert await fetcher.fetch(host.url(f"/to?url={host.url('/red.png', 'also.test')}")) == RED
        assert host.looked_up == [HOST, "also.test"]

    with_host(scenario)


@pytest.mark.parametrize(
    "target", ["http://elsewhere.test/red.png", "http://127.0.0.1/", "file:///etc/passwd", "http://[::1]/", "//x.test/"]
)
def test_a_redirect_to_anywhere_else_is_not(target: str) -> None:
    async def scenario(host: Host, fetcher: Fetcher) -> None:
        with pytest.raises(FetchRefused):
            await fetcher.fetch(host.url(f"/to?url={target}"))
        assert host.looked_up == [HOST]

    with_host(scenario)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "its host answers 404"),
        ("/large", "is larger than 2000 bytes"),
        ("/silence", "its host took longer than 1 s"),
        ("/round", "it is redirected more than 3 times"),
    ],
)
def test_what_cannot_be_had_is_refused(path: str, reason: str) -> None:
    async def scenario(host: Host, fetcher: Fetcher) -> None:
        with pytest.raises(FetchRefused) as refused:
            await fetcher.fetch(host.url(path))
        assert str(refused.value) == reason

    with_host(scenario, max_bytes=2000, fetch_timeout_s=1)


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.test/a",
        "http://pictures.test/a",
        "https://pictures.test/a",
        "http://pictures.test.elsewhere.test/a",
        "http://127.0.0.1/a",
        "http://user@pictures.test/a",
        "http:///a",
        "http://pictures.test:99999/a",
        "http://[::1/a",
    ],
)
def test_nothing_is_asked_of_a_host_that_is_not_allowed(url: str) -> None:
    async def scenario(host: Host, fetcher: Fetcher) -> None:
        with pytest.raises(FetchRefused):
            await fetcher.fetch(url)
        assert host.looked_up == []

    with_host(scenario)


@pytest.mark.parametrize("url", ["http://pictures.test/a", "http://PICTURES.test./a", "https://pictures.test:443/a"])
def test_a_host_alone_stands_for_its_schemes_own_port(url: str) -> None:
    looked_up: list[tuple[str, int]] = []

    async def lookup(host: str, port: int) -> Sequence[str]:
        looked_up.append((host, port))
        raise AddressRefused

    async def scenario() -> None:
        fetcher = Fetcher(Media(hosts=("pictures.test",)), lookup)
        with pytest.raises(FetchRefused):
            await fetcher.fetch(url)
        await fetcher.close()

    run(scenario())
    assert [port for _, port in looked_up] == [443 if url.startswith("https") else 80]


def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    """The host is there and would answer: it is the address that is refused."""

    async def scene() -> None:
        async with _host() as host:

            async def resolve(name: str, port: int) -> Sequence[str]:
                return ["127.0.0.1"]

            fetcher = Fetcher(Media(hosts=(f"{HOST}:{host.port}",)), PublicAddresses(resolve))
            with pytest.raises(FetchRefused) as refused:
                await fetcher.fetch(host.url("/red.png"))
            assert str(refused.value) == "nothing is fetched from where its host's name leads"
            assert host.asked == []
            await fetcher.close()

    run(scene())


def test_a_host_that_does_not_answer_is_told_of_without_its_address() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def scenario() -> None:
        fetcher = Fetcher(Media(hosts=("pictures.test:1",)), lookup)
        with pytest.raises(FetchRefused) as refused:
            await fetcher.fetch("http://pictures.test:1/a")
        assert str(refused.value) == "its host could not be read from"
        await fetcher.close()

    run(scenario())
