"""Whether the Ray under this process lives.

Nobody else would say: calls to a Ray that is gone wait, for a minute or for ever, and its clients' own checks end the
process in the middle of whatever it does.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import ray
from msgspec import Struct

from cluster.errors import SystemLost

_LOOK_S = 1.0
_CONNECT_S = 2.0
# On another machine: a moment without a network is not the end of a cluster.
_LOOKS = 3


class RayProcesses(Struct, frozen=True):
    """Where the two processes listen without which there is no Ray: the cluster's head, and this machine's raylet."""

    head: tuple[str, int]
    raylet: Path

    @classmethod
    def of_this_process(cls) -> "RayProcesses":
        """Those that this process is connected to."""
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        return cls((host.strip("[]"), int(port)), Path(ray._private.worker.global_worker.node.raylet_socket_name))

    def missing(self) -> str | None:
        """Which of the two does not accept connections; None when both do. Blocks for some seconds at most."""
        if not _accepts(socket.AF_UNIX, str(self.raylet)):
            return "its raylet on this machine"
        family = socket.AF_INET6 if ":" in self.head[0] else socket.AF_INET
        return None if _accepts(family, self.head) else "its head"


@asynccontextmanager
async def while_ray_lives(processes: RayProcesses) -> AsyncIterator[None]:
    """Do what is inside only for as long as Ray lives. Raises SystemLost in it, and out of it, when Ray has gone."""
    inside = asyncio.current_task()
    assert inside is not None
    missing: list[str] = []

    async def watch() -> None:
        missing.append(await _gone(processes))
        inside.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not missing:
            raise
        raise lost(missing[0]) from None
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def lost(missing: str) -> SystemLost:
    return SystemLost(f"Ray has gone: {missing} does not run any more")


async def _gone(processes: RayProcesses) -> str:
    """Returns what is missing, once it has been missing at several looks."""
    missed = 0
    while True:
        missing = await asyncio.to_thread(processes.missing)
        missed = missed + 1 if missing else 0
        if missing and missed == _LOOKS:
            return missing
        await asyncio.sleep(_LOOK_S)


def _accepts(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(address)
        except OSError:
            return False
        return True
