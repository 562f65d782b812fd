"""Media fetched from the hosts that the settings allow, once, and within limits."""

import asyncio
from collections.abc import Sequence

import httpcore
import httpx

from actors.outgoing.addresses import AddressRefused, Lookup, PublicAddresses, resolve
from actors.outgoing.network import CheckedNetwork
from cluster.settings.sections.media import Media

_MOST_REDIRECTS = 3
_MOST_CONNECTIONS = 32
_DEFAULT_PORTS = {"http": 80, "https": 443}


class FetchRefused(Exception):
    """Nothing was fetched. The message says why, in words for the client, and names nothing that it does not know."""


class Fetcher:
    """Connects to what `lookup` says of a host, and nowhere else. Follows redirects to hosts that are allowed, too."""

    def __init__(self, settings: Media, lookup: Lookup | None = None) -> None:
        self._settings = settings
        backend = CheckedNetwork(lookup or PublicAddresses(resolve))
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=backend, max_connections=_MOST_CONNECTIONS, max_keepalive_connections=0
        )

    async def fetch(self, url: str) -> bytes:
        """What is there. Raises FetchRefused."""
        try:
            async with asyncio.timeout(self._settings.fetch_timeout_s):
                return await self._fetch(url)
        except TimeoutError:
            raise FetchRefused(f"its host took longer than {self._settings.fetch_timeout_s} s") from None
        except AddressRefused:
            raise FetchRefused("nothing is fetched from where its host's name leads") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            raise FetchRefused("its host could not be read from") from None

    async def close(self) -> None:
        await self._pool.aclose()

    async def _fetch(self, url: str) -> bytes:
        for _ in range(_MOST_REDIRECTS + 1):
            target = self._allowed(url)
            headers = [(b"Host", target.netloc), (b"Accept", b"*/*"), (b"User-Agent", b"infernet")]
            async with self._pool.stream("GET", str(target), headers=headers) as response:
                if response.status == httpx.codes.OK:
                    return await self._content(response)
                url = _redirected(target, response)
        raise FetchRefused(f"it is redirected more than {_MOST_REDIRECTS} times")

    def _allowed(self, url: str) -> httpx.URL:
        """This URL, if it may be asked for."""
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL:
            raise FetchRefused("is no URL") from None
        if target.scheme not in _DEFAULT_PORTS or not target.host:
            raise FetchRefused("must be an http: or https: URL")
        if target.userinfo:
            raise FetchRefused("must not name a user")
        if not _is_allowed(target, self._settings.hosts):
            raise FetchRefused("nothing is fetched from this host; send a data: URL")
        return target.copy_with(fragment=None)

    async def _content(self, response: httpcore.Response) -> bytes:
        most = self._settings.max_bytes
        content = bytearray()
        async for part in response.aiter_stream():
            content += part
            if len(content) > most:
                raise FetchRefused(f"is larger than {most} bytes")
        return bytes(content)


def _is_allowed(target: httpx.URL, hosts: Sequence[str]) -> bool:
    """A host alone stands for its scheme's own port, `host:port` for another one."""
    host = target.host.lower().rstrip(".")
    if target.port in (None, _DEFAULT_PORTS[target.scheme]) and host in hosts:
        return True
    return f"{host}:{target.port or _DEFAULT_PORTS[target.scheme]}" in hosts


def _redirected(asked: httpx.URL, response: httpcore.Response) -> str:
    places = [value for name, value in response.headers if name.lower() == b"location"]
    if response.status not in (301, 302, 303, 307, 308) or not places:
        raise FetchRefused(f"its host answers {response.status}")
    try:
        return str(asked.join(places[0].decode("ascii")))
    except (httpx.InvalidURL, UnicodeDecodeError):
        raise FetchRefused("it is redirected to what is no URL") from None
