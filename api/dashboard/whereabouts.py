"""Where visitors come from."""

from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.requests import Request

_OF_ONE_HOUSEHOLD = 64
"""Whoever has an IPv6 address has all that begin with the same bits."""


def address_of(request: Request) -> str:
    """Where the request comes from, as the nearest proxy tells it, which is the door itself."""
    told = request.headers.getlist("x-forwarded-for")
    nearest = told[-1].rpartition(",")[2].strip() if told else ""
    return _shared(nearest) or (_shared(request.client.host) if request.client else "")


def _shared(address: str) -> str:
    """The address, or the beginning that it shares with others of the same household; nothing for what is none."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, _OF_ONE_HOUSEHOLD), strict=False))
