"""Which addresses may be connected to for others: those of the public internet, whatever a name says."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses that a name has."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name that may be connected to. Raises AddressRefused where there is none."""

_NOT_PUBLIC = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("fec0::/10"))
"""Python takes some of these for public ones."""

_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""Gateways make IPv4 addresses of these: RFC 6052 and RFC 8215."""


class AddressRefused(Exception):
    """A name leads nowhere, or to where nothing may be asked."""


class PublicAddresses:
    """Looks names up, and refuses one of which any address is not public: the next lookup might tell just that.

    `private` names, as `is_named` reads them, may lead anywhere.
    """

    def __init__(self, resolve: Resolve, private: Sequence[str] = ()) -> None:
        self._resolve = resolve
        self._private = private

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """As `Lookup`. Whoever connects has to connect to one of these, and not look the name up again."""
        found = await self._resolve(host, port)
        if not found:
            raise AddressRefused
        if not is_named(host, port, self._private) and not all(is_public(each) for each in found):
            raise AddressRefused
        return found


def is_named(host: str, port: int, names: Sequence[str]) -> bool:
    """Whether these names have this host: by its name alone, at any port, or as `name:port`."""
    plain = host.lower().rstrip(".")
    return plain in names or f"{plain}:{port}" in names


def is_public(address: str) -> bool:
    """Whether this is an address of the public internet, and of a single machine there."""
    try:
        parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = _inner(parsed) if isinstance(parsed, ipaddress.IPv6Address) else None
    if inner is not None:
        return is_public(str(inner))
    inside = any(parsed in network for network in _NOT_PUBLIC)
    return parsed.is_global and not (inside or parsed.is_multicast or parsed.is_reserved)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that this one leads to, if it is one of those that do."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _TRANSLATED) or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


async def resolve(host: str, port: int, threads: Executor | None = None) -> Sequence[str]:
    """What this machine's resolver says. It may take long: who asks for many names has threads of its own."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(threads, look_up)
    except (OSError, UnicodeError):
        raise AddressRefused from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
