"""How a webhook is sent: where it may go, whom it trusts, how long it waits and how much it reads."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import RedirectResponse, Response, StreamingResponse

from actors.couriering.posting import Answer, Poster
from actors.outgoing.addresses import AddressRefused, PublicAddresses
from actors.outgoing.urls import UrlRefused, checked
from cluster.settings.sections.webhooks import Webhooks
from tests.support.certificates import Certificate, certificate
from tests.support.plain_system import PATIENCE_S, run, settled
from tests.support.webhook_host import Receiver, receiver

HERE = Webhooks(private_hosts=("127.0.0.1",), timeout_s=1)
HEADERS = {"webhook-id": "msg_0"}


def with_receiver(scenario: Callable[[Receiver, Poster], Awaitable[None]], settings: Webhooks = HERE) -> None:
    async def scene() -> None:
        async with receiver() as host:
            poster = Poster(settings)
            try:
                await scenario(host, poster)
            finally:
                await poster.close()

    run(scene())


@pytest.mark.parametrize(
    ("status", "problem"),
    [(200, None), (202, None), (204, None), (299, None), (400, "refused"), (404, "refused"), (410, "refused"),
     (429, "refused"), (500, "refused"), (503, "refused"), (301, "redirected"), (304, "redirected")],
)  # fmt: skip
def test_what_a_status_means(status: int, problem: str | None) -> None:
    async def scenario(host: Receiver, poster: Poster) -> None:
        host.answers = lambda _: Response(status_code=status, headers={"Retry-After": "7"})
        assert await poster.post(host.url(), HEADERS, "{}") == Answer(status, problem, "7")  # type: ignore[arg-type]
        (told,) = host.told
        assert (told.body, told.id, told.headers["content-type"]) == (b"{}", "msg_0", "application/json")

    with_receiver(scenario)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    async def scenario(host: Receiver, poster: Poster) -> None:
        host.answers = lambda _: RedirectResponse(host.url("/elsewhere"), status)
        assert await poster.post(host.url(), HEADERS, "{}") == Answer(status, "redirected")
        assert host.of("/elsewhere") == []

    with_receiver(scenario)


def test_who_does_not_answer_is_not_waited_for() -> None:
    async def scenario(host: Receiver, poster: Poster) -> None:
        host.held["/hook"] = asyncio.Event()
        assert await poster.post(host.url(), HEADERS, "{}") == Answer(problem="timeout")

    with_receiver(scenario)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port where this is said on each connection, until the other side hangs up."""
    ended: list[asyncio.Future[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.get_running_loop().create_future())
        try:
            with suppress(ConnectionError, ssl.SSLError):
                await talk(reader, writer)
        finally:
            writer.close()
            ended[-1].set_result(None)

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*ended)


@asynccontextmanager
async def repeating(text: bytes, pause_s: float) -> AsyncIterator[int]:
    """A port that says this again and again, until the other side hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 ")
        while True:
            writer.write(text)
            await writer.drain()
            await asyncio.sleep(pause_s)

    async with talking(talk) as port:
        yield port


@pytest.mark.parametrize(
    ("text", "pause_s", "problem"),
    [
        (b"103 Early Hints\r\n\r\nHTTP/1.1 ", 0.0, "timeout"),
        (b"103 Early Hints\r\n\r\nHTTP/1.1 ", 0.01, "timeout"),
        (b"200 OK\r\nX-1: 1\r\nX-2", 0.01, "timeout"),
        (b"200 OK\r\nX: " + b"1" * 100_000, 0.0, "bad_answer"),
    ],
    ids=["hints without end", "hints in drops", "headers in drops", "headers without end"],
)
def test_an_answer_that_never_begins_has_its_time_and_no_more(text: bytes, pause_s: float, problem: str) -> None:
    async def scenario() -> None:
        async with repeating(text, pause_s) as port:
            poster = Poster(HERE)
            answer = await poster.post(f"http://127.0.0.1:{port}/", HEADERS, "{}")
            await poster.close()
            assert answer == Answer(problem=problem)  # type: ignore[arg-type]

    run(scenario())


async def _without_end() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 10_000
        await asyncio.sleep(0)


async def _in_drops() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0.01)


def test_an_answer_without_end_is_read_in_part() -> None:
    async def scenario(host: Receiver, poster: Poster) -> None:
        host.answers = lambda _: StreamingResponse(_without_end())
        assert await poster.post(host.url(), HEADERS, "{}") == Answer(200)

    with_receiver(scenario)


def test_an_answer_that_takes_for_ever_is_a_timeout() -> None:
    async def scenario(host: Receiver, poster: Poster) -> None:
        host.answers = lambda _: StreamingResponse(_in_drops())
        assert (await poster.post(host.url(), HEADERS, "{}")).problem == "timeout"

    with_receiver(scenario)


@asynccontextmanager
async def saying(text: bytes) -> AsyncIterator[int]:
    """A port that answers each connection with this, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(text)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "text",
    [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x00\xff" * 100,
     b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"y" * 300_000],
    ids=["nothing", "ssh", "no status", "noise", "headers without end"],
)  # fmt: skip
def test_what_speaks_no_http_is_told_apart_from_what_refuses(text: bytes) -> None:
    async def scenario() -> None:
        async with saying(text) as port:
            poster = Poster(HERE)
            answer = await poster.post(f"http://127.0.0.1:{port}/", HEADERS, "{}")
            assert (answer.status, answer.problem) in ((None, "bad_answer"), (None, "connection_failed"))
            await poster.close()

    run(scenario())


def test_where_nobody_listens() -> None:
    async def scenario(host: Receiver, poster: Poster) -> None:
        port = host.port
        host.port = 1
        assert (await poster.post(host.url(), HEADERS, "{}")).problem == "connection_failed"
        host.port = port

    with_receiver(scenario)


def test_a_name_that_is_looked_up_for_ever_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, real = threading.Event(), socket.getaddrinfo
    slow = "slow.test"

    def look_up(host: str, *args: Any, **options: Any) -> Any:
        if host == slow:
            let_go.wait(PATIENCE_S)
            raise OSError
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    async def scenario(host: Receiver, poster: Poster) -> None:
        waiting = [asyncio.create_task(poster.post(f"https://{slow}/", HEADERS, "{}")) for _ in range(100)]
        await settled()
        try:
            assert await poster.post(host.url(), HEADERS, "{}") == Answer(204)
            assert {answer.problem for answer in await asyncio.gather(*waiting)} == {"timeout"}
        finally:
            let_go.set()

    with_receiver(scenario)


INSIDE = ["127.0.0.1", "10.1.2.3", "192.168.0.7", "172.16.3.4", "169.254.169.254", "100.64.0.9", "0.0.0.0", "224.0.0.5",
          "::1", "fe80::1", "fd00::5", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
          "ff02::1", "240.0.0.1", "2001:0:0:0:0:0:5601:fefe"]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_a_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14", address]

    async def scenario() -> None:
        poster = Poster(Webhooks(timeout_s=1), PublicAddresses(resolve))
        assert await poster.post("https://hooks.test/", HEADERS, "{}") == Answer(problem="address_refused")
        await poster.close()

    run(scenario())


def test_a_name_that_leads_elsewhere_by_the_time_it_is_used_is_not_followed_there() -> None:
    """DNS rebinding: what was looked at is what is connected to, and it is looked at anew for every attempt."""
    answers = [["203.0.114.1"], ["127.0.0.1"]]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers.pop(0)

    async def scenario() -> None:
        lookup = PublicAddresses(resolve)
        assert await lookup("hooks.test", 443) == ["203.0.114.1"]
        poster = Poster(Webhooks(timeout_s=1), lookup)
        assert await poster.post("https://hooks.test/", HEADERS, "{}") == Answer(problem="address_refused")
        assert len(asked) == 2
        await poster.close()

    run(scenario())


def test_a_host_that_the_settings_name_may_be_inside() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["10.1.2.3"]

    async def scenario() -> None:
        assert await PublicAddresses(resolve, ("hooks.test",))("hooks.test", 8080) == ["10.1.2.3"]
        assert await PublicAddresses(resolve, ("hooks.test:8080",))("HOOKS.test.", 8080) == ["10.1.2.3"]
        for named in ((), ("hooks.test:81",), ("test",), ("other.test",)):
            with pytest.raises(AddressRefused):
                await PublicAddresses(resolve, named)("hooks.test", 8080)

    run(scenario())


@pytest.mark.parametrize(
    ("names", "trusts", "delivered"),
    [
        (["hooks.test"], True, True),
        (["other.test"], True, False),
        (["hooks.test"], False, False),
        (["127.0.0.1"], True, False),
    ],
    ids=["its own", "another's name", "nobody vouches", "only the address"],
)
def test_a_certificate_is_looked_at(names: list[str], trusts: bool, delivered: bool, tmp_path: Path) -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def scenario() -> None:
        made = certificate(tmp_path, *names)
        async with receiver(made) as host:
            tls = made.trusting() if trusts else ssl.create_default_context()
            poster = Poster(HERE, lookup, tls)
            answer = await poster.post(host.url(host="hooks.test", scheme="https"), HEADERS, "{}")
            assert answer == (Answer(204) if delivered else Answer(problem="connection_failed"))
            assert len(host.told) == delivered
            await poster.close()

    run(scenario())


async def _posted_over_tls(tls: ssl.SSLContext | None, trusting: ssl.SSLContext, says: bytes = b"") -> Answer:
    """What comes of it at a server that speaks TLS by `tls`, or not at all, and says this of each connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        await reader.read()

    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with talking(talk, tls) as port:
        poster = Poster(HERE, lookup, trusting)
        answer = await poster.post(f"https://hooks.test:{port}/", HEADERS, "{}")
        await poster.close()
    return answer


def _speaking(made: Certificate) -> ssl.SSLContext:
    speaking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    speaking.load_cert_chain(made.file, made.key)
    return speaking


def test_who_wants_to_know_who_we_are_is_not_connected_to(tmp_path: Path) -> None:
    """With TLS 1.3 that is told after the handshake, instead of an answer."""
    made = certificate(tmp_path, "hooks.test")
    speaking = _speaking(made)
    speaking.verify_mode = ssl.CERT_REQUIRED
    speaking.load_verify_locations(made.file)
    answer = run(_posted_over_tls(speaking, made.trusting()))
    assert answer == Answer(problem="connection_failed")


def test_who_speaks_too_old_a_tls_is_not_connected_to(tmp_path: Path) -> None:
    made = certificate(tmp_path, "hooks.test")
    speaking, trusting = _speaking(made), made.trusting()
    speaking.maximum_version = ssl.TLSVersion.TLSv1_2
    trusting.minimum_version = ssl.TLSVersion.TLSv1_3
    answer = run(_posted_over_tls(speaking, trusting))
    assert answer == Answer(problem="connection_failed")


def test_who_speaks_no_tls_is_not_connected_to(tmp_path: Path) -> None:
    made = certificate(tmp_path, "hooks.test")
    answer = run(_posted_over_tls(None, made.trusting(), b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert answer == Answer(problem="connection_failed")


def test_who_never_ends_the_handshake_is_a_timeout(tmp_path: Path) -> None:
    made = certificate(tmp_path, "hooks.test")
    assert run(_posted_over_tls(None, made.trusting())) == Answer(problem="timeout")


def test_no_proxy_is_asked_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def scenario(host: Receiver, poster: Poster) -> None:
        assert await poster.post(host.url(), HEADERS, "{}") == Answer(204)

    with_receiver(scenario)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook",
        "https://example.org:8443/a?b=c",
        "https://93.184.215.14/",
        "https://[2606:2800::1]/x",
    ],
)
def test_what_may_be_registered(url: str) -> None:
    assert str(checked(url, ())) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/hook", "https"),
        ("ftp://example.org/", "https"),
        ("file:///etc/passwd", "https"),
        ("//example.org/", "https"),
        ("/hook", "https"),
        ("", "https"),
        ("https://", "https"),
        ("https://user:password@example.org/", "user"),
        ("https://example.org/#part", "fragment"),
        ("https://127.0.0.1/", "not public"),
        ("https://10.0.0.1/", "not public"),
        ("https://169.254.169.254/latest/meta-data", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("https://exa mple.org/", "ASCII"),
        ("https://example.org/\r\nX: y", "ASCII"),
        ("https://bücher.example/", "ASCII"),
        ("https://example.org:99999/", "port"),
        ("https://example.org:0/", "port"),
        ("https://example.org/" + "x" * 3000, "2048"),
    ],
)
def test_what_may_not_be_registered(url: str, reason: str) -> None:
    with pytest.raises(UrlRefused, match=reason):
        checked(url, ("127.0.0.1:81", "localhost"))


def test_http_may_be_spoken_with_hosts_that_the_settings_name() -> None:
    assert checked("http://localhost:5000/", ("localhost",)).host == "localhost"
    assert checked("http://[fd00::5]:81/", ("fd00::5",)).host == "fd00::5"
    with pytest.raises(UrlRefused):
        checked("http://localhost:5000/", ("localhost:80",))
