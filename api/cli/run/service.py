"""Whoever runs this process as a service, and waits to hear how it is: systemd, by its own protocol.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import socket
from collections.abc import MutableMapping
from typing import Self

from msgspec import Struct

from api.cli import exits

_VARIABLE = "NOTIFY_SOCKET"

READY = "READY=1"
STOPPING = "STOPPING=1"


class Service(Struct, frozen=True):
    """Where to tell it; None where nobody waits."""

    address: str | None

    @classmethod
    def taken_from(cls, env: MutableMapping[str, str]) -> Self:
        """As the environment says, which says it to nobody else from now on."""
        return cls(env.pop(_VARIABLE, None))

    def tell(self, state: str) -> None:
        """Says it, to whoever waits. That it cannot be said is no reason to end."""
        if self.address is None:
            return
        # An address that begins with @ is a name, and no file.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
                sending.sendto(state.encode(), address)
        except OSError as error:
            exits.say(f"the service manager at {self.address} is not told {state}: {error.strerror}")
