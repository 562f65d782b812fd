"""Fetching media: from hosts that are allowed, where a name leads once, within limits."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from actors.outgoing.addresses import AddressRefused, PublicAddresses
from api.replica.media.fetching import Fetcher, FetchRefused
from cluster.settings.sections.media import Media
from tests.support.picture_host import HOST, RED, Host, picture_host
from tests.support.plain_system import run

T = TypeVar("T")


def with_host(scenario: Callable[[Host, Fetcher], Awaitable[T]], **settings: int) -> T:
    """With a fetcher to which that host and port are allowed, and `also.test` beside."""

    async def scene() -> T:
        async with picture_host() as host:
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
        async with picture_host() as host:

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
