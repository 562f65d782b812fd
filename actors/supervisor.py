"""That the others exist: the core actors, and a Node on every machine."""

import asyncio
import logging
from typing import Protocol

logger = logging.getLogger(__name__)

LOOK_S = 1.0


class World(Protocol):
    """The cluster, as far as the Supervisor acts on it. Calls block."""

    def start_core(self) -> None:
        """Start the core actors that do not exist, in the order in which they need each other."""
        ...

    def machines(self) -> set[str]:
        """The machines that are alive, by Ray's ids."""
        ...

    def start_node(self, machine: str) -> None:
        """Start the Node of this machine if it does not exist."""
        ...


class Supervisor:
    """Looks, again and again, whether something is missing, and starts it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._machines: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._world.start_core)
        await self.look()
        self._looking = asyncio.create_task(self._look_forever())

    async def stop(self) -> None:
        """Start nothing more."""
        if self._looking is not None:
            self._looking.cancel()

    async def look(self) -> None:
        """Greet the machines that have joined."""
        machines = await asyncio.to_thread(self._world.machines)
        for machine in machines - self._machines:
            await asyncio.to_thread(self._world.start_node, machine)
        self._machines = machines

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await asyncio.to_thread(self._world.start_core)
                await self.look()
            except Exception:
                logger.exception("looking after the cluster failed; trying again")
