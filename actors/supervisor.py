"""That the others exist: the core actors, and a NodeAgent on every machine."""

import asyncio
from typing import Protocol

from actors.wire.every import Every
from cluster.timing import Timing


class World(Protocol):
    """The cluster, as far as the Supervisor acts on it. Calls block."""

    def start_core(self) -> None:
        """Start the core actors that do not exist, in the order in which they need each other."""
        ...

    def machines(self) -> set[str]:
        """The machines that are alive, by Ray's ids."""
        ...

    def start_node(self, machine: str) -> None:
        """Start the NodeAgent of this machine if it does not exist."""
        ...


class Supervisor:
    """Looks, again and again, whether something is missing, and starts it."""

    def __init__(self, world: World, timing: Timing = Timing()) -> None:
        self._world = world
        self._machines: set[str] = set()
        self._looking = Every(timing.look_s, self._look_after_cluster, "looking after the cluster")

    async def start(self) -> None:
        """Start what is missing, then keep looking. Raises what prevents the first start."""
        await self._look_after_cluster()
        self._looking.start()

    async def stop(self) -> None:
        """Start nothing more."""
        self._looking.stop()

    async def look(self) -> None:
        """Greet the machines that have joined."""
        machines = await asyncio.to_thread(self._world.machines)
        for machine in machines - self._machines:
            await asyncio.to_thread(self._world.start_node, machine)
        self._machines = machines

    async def _look_after_cluster(self) -> None:
        await asyncio.to_thread(self._world.start_core)
        await self.look()
