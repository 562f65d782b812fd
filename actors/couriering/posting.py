"""A webhook sent to its endpoint: to where it may be sent, once, without following redirects, and within limits."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple

import certifi
import httpcore

from actors.outgoing.addresses import AddressRefused, Lookup, PublicAddresses, resolve
from actors.outgoing.network import CheckedNetwork
from actors.outgoing.urls import UrlRefused, checked
from cluster.messages.webhooks import Problem
from cluster.settings.sections.webhooks import Webhooks

_MOST_LOOKUPS: Final = 512
_MOST_READ_BYTES: Final = 64 << 10
_USER_AGENT: Final = b"infernet-webhooks/1.0"


class Answer(NamedTuple):
    """What an endpoint answered, or why it did not. `retry_after` is the header of this name, as it came."""

    status: int | None = None
    problem: Problem | None = None
    retry_after: str = ""


class Poster:
    """Sends to public addresses, and to those hosts that the settings name. No proxy is asked, whatever is set."""

    def __init__(self, settings: Webhooks, lookup: Lookup | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        # A name that takes long to look up keeps its thread, however soon nobody waits for it any more.
        self._threads = ThreadPoolExecutor(_MOST_LOOKUPS, "looking up names")
        resolving = partial(resolve, threads=self._threads)
        network = CheckedNetwork(lookup or PublicAddresses(resolving, settings.private_hosts))
        # Connections are not kept: each one goes where its name leads at that moment.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or _trusting(), network_backend=network, max_connections=None, max_keepalive_connections=0
        )

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        """What came of it. Raises nothing that is the endpoint's fault."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._post(url, headers, body.encode())
        except (TimeoutError, httpcore.TimeoutException):
            return Answer(problem="timeout")
        except (AddressRefused, UrlRefused):
            return Answer(problem="address_refused")
        except httpcore.NetworkError:
            return Answer(problem="connection_failed")
        except httpcore.ProtocolError:
            return Answer(problem="bad_answer")

    async def close(self) -> None:
        await self._pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        target = checked(url, self._settings.private_hosts)
        sent = [
            (b"Host", target.netloc),
            (b"User-Agent", _USER_AGENT),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ]
        async with self._pool.stream("POST", str(target), headers=sent, content=body) as response:
            answer = Answer(response.status, _problem(response.status), _header(response.headers, b"retry-after"))
            await _read_some(response)
        return answer


async def _read_some(response: httpcore.Response) -> None:
    """What is answered is of no interest; but to hang up on an endpoint that still writes would look like a failure."""
    read_bytes = 0
    try:
        async for part in response.aiter_stream():
            read_bytes += len(part)
            if read_bytes > _MOST_READ_BYTES:
                return
    except (httpcore.NetworkError, httpcore.ProtocolError):
        return  # its status has been told


def _problem(status: int) -> Problem | None:
    if 200 <= status < 300:
        return None
    return "redirected" if 300 <= status < 400 else "refused"


def _header(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == wanted), "")


def _trusting() -> ssl.SSLContext:
    """Trusts whom this machine trusts, or `SSL_CERT_FILE` says, and where it has no list, the public authorities."""
    trusting = ssl.create_default_context()
    trusting.load_verify_locations(certifi.where())
    return trusting
