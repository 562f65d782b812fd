"""Which ports are free."""

import secrets
import socket
from contextlib import suppress

from cluster.errors import StartError

# Below the usual ephemeral ports and those of Serve's replicas, above those of the workers of `ray start`.
_NOT_EPHEMERAL = range(20_000, 30_000)


def require_free(host: str, port: int) -> None:
    """Raises StartError, saying which, when something listens on this port already, or it cannot be listened on."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None


def free_port() -> int:
    """A port that nothing listens on now, and that the system gives to nobody who asks for just any."""
    while True:
        port = secrets.choice(_NOT_EPHEMERAL)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
