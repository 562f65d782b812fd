"""Which ports are free."""

import secrets
import socket
from contextlib import suppress

# Below the usual ephemeral ports and those of Serve's replicas, above those of the workers of `ray start`.
_NOT_EPHEMERAL = range(20_000, 30_000)


def free_port() -> int:
    """A port that nothing listens on now, and that the system gives to nobody who asks for just any."""
    while True:
        port = secrets.choice(_NOT_EPHEMERAL)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
