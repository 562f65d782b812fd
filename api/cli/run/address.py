"""Where a system listens, and where its clients find it."""

import socket
from errno import EADDRNOTAVAIL
from typing import Any

from cluster.errors import StartError

_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""The addresses that stand for all of a machine's, and what this machine's own clients say instead."""


def url_of(host: str, port: int) -> str:
    """The URL by which clients on this machine reach what listens there."""
    return f"http://{_shown(_ALL.get(host, host), port)}"


def as_serve_takes(host: str) -> str:
    """The same address in other words, where Ray Serve would listen elsewhere: it takes `::` for `0.0.0.0`."""
    return "::0" if host == "::" else host


def require_free(host: str, port: int) -> None:
    """Raises StartError, saying which, when something listens there already, or nothing can."""
    for family, address in _addresses(host, port):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise StartError(f"cannot listen on {_shown(host, port)}: {_reason(error)}") from None


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise StartError(f"cannot listen on {_shown(host, port)}: nobody knows a machine of this name") from None
    return [(family, address) for family, _, _, _, address in found]


def _reason(error: OSError) -> str:
    if error.errno == EADDRNOTAVAIL:
        return "it is no address of this machine (0.0.0.0 stands for all that it has)"
    return str(error.strerror)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
