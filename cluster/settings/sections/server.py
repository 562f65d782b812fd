"""Where the HTTP door is."""

import re
from ipaddress import ip_address

from msgspec import Struct

from cluster.settings.checks import Check, Value, integer, list_of, or_none, section, shown, word
from cluster.settings.sections.replicas import bounds

_MOST_CONNECTIONS = 500_000
"""Of two open files each; the kernel's own limit for a process is a million."""

_ORIGIN = re.compile(r"\*|https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


class IngressReplicas(Struct, frozen=True):
    """How many ingress replicas there are; Ray Serve decides where the two differ."""

    min: int = 1
    max: int = 1


class Server(Struct, frozen=True):
    """Where the HTTP door is, how many ingress replicas stand behind it, and how many connections it holds at once.

    Of these, half may come from one address, unless it is said how many. Pages of `cors_origins` may ask it from
    browsers; `*` are those of all.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    replicas: IngressReplicas = IngressReplicas()
    cors_origins: tuple[str, ...] = ()
    max_connections: int = 40_000
    max_connections_per_address: int | None = None


def server(value: Value) -> Server:
    checks: dict[str, Check] = {
        "host": _address,
        "port": integer(1, 65535),
        "replicas": _ingress_replicas,
        "cors_origins": list_of(_origin),
        "max_connections": integer(1, _MOST_CONNECTIONS),
        "max_connections_per_address": or_none(integer(1)),
    }
    return Server(**section(value, checks))


def _ingress_replicas(value: Value) -> IngressReplicas:
    return IngressReplicas(**bounds(value, "{min, max}", {"min": integer(1), "max": integer(1)}))


def _origin(value: Value) -> str:
    origin = word(value).lower().removesuffix("/")  # as browsers write it
    if not _ORIGIN.fullmatch(origin):
        raise value.is_not("an origin such as https://example.org:8443, or *")
    return origin


def _address(value: Value) -> str:
    """An address or a name of this machine; one of IPv6 may stand in brackets, as in a URL."""
    host = word(value)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if host == "*":
        raise value.refused(
            "must be an address: 0.0.0.0 stands for all that this machine has, and :: for those of IPv6"
        )
    if "/" in host or (":" in bare and not _is_ipv6(bare)):
        raise value.refused(f"must be an address or a name alone, not {shown(host)}: its port is server.port")
    return bare


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text.partition("%")[0]).version == 6
    except ValueError:
        return False
