"""That the others exist and are awake: the core actors, and a NodeAgent on every machine that is to have one."""

import asyncio
import logging
from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from actors.supervising.watch import Ward, Watch
from actors.wire.every import Every
from cluster.release import Described, Release
from cluster.timing import Timing

logger = logging.getLogger(__name__)


class World(Protocol):
    """The cluster, as far as the Supervisor acts on it. Calls block."""

    def start_core(self) -> None:
        """Start the core actors that do not exist, in the order in which they need each other."""
        ...

    def machines(self) -> set[str]:
        """The machines that are to have a NodeAgent, by Ray's ids: where machines go that have nothing to do, only
        those on which engines have a place, and those that stay all the same."""
        ...

    def machines_with_node(self) -> set[str]:
        """The machines that have a NodeAgent and are alive."""
        ...

    async def hear_all(self) -> None:
        """Hear from the core actors and NodeAgents that exist what they are made of."""
        ...

    def end_outdated(self) -> None:
        """End the core actors and NodeAgents that were made of other settings than those of this release."""
        ...

    def start_node(self, machine: str) -> None:
        """Start the NodeAgent of this machine if it does not exist."""
        ...

    def end_node(self, machine: str) -> None:
        """End the NodeAgent of this machine, which would keep it in the cluster for nothing."""
        ...

    def restarts(self) -> Mapping[str, int]:
        """How often each of the core actors, and this one, has been started again since it was there first."""
        ...

    def keep_proxies(self) -> None:
        """Have every proxy that the cluster's Serve runs be started again as soon as it ends."""
        ...

    def wards(self, looked_after: Set[str]) -> Sequence[Ward]:
        """The core actors, and the NodeAgents of these machines. This one does not block."""
        ...


class Supervisor:
    """Looks, again and again, whether something is missing or hangs, and has it begin anew."""

    def __init__(self, world: World, release: Release, timing: Timing = Timing()) -> None:
        self._world = world
        self._release = release
        self._machines: set[str] = set()
        self._restarts: Mapping[str, int] | None = None
        self._watch = Watch(timing)
        self._looking = Every(timing.look_s, self._look_after_cluster, "looking after the cluster")
        self._watching = Every(timing.pulse_s, self._watch_over_all, "watching over the core actors")
        self._keeping = Every(timing.look_s, self._keep_proxies, "looking after Serve's proxies")

    async def start(self) -> None:
        """Start what is missing, then keep looking. Raises what prevents the first start; then it may be repeated."""
        # Whoever waits for this start is to meet none of those that are to be replaced.
        await self._world.hear_all()
        await self._look_after_cluster()
        self._looking.start()
        self._watching.start()
        self._keeping.start()

    async def stop(self) -> None:
        """Start nothing more, and end nothing."""
        self._looking.stop()
        self._watching.stop()
        self._watch.stop()
        self._keeping.stop()

    async def release(self) -> Described:
        """What it sees to, in words that every version reads."""
        return self._release.described()

    async def restarts(self) -> Mapping[str, int]:
        """How often each core actor has been started again, because its process ended, as of the last look."""
        return self._restarts or {}

    async def look(self) -> None:
        """Start NodeAgents where there are to be some, and end those that nobody needs."""
        self._machines = await asyncio.to_thread(self._world.machines)
        there = await asyncio.to_thread(self._world.machines_with_node)
        for machine in self._machines - there:
            await asyncio.to_thread(self._world.start_node, machine)
        for machine in there - self._machines:
            await asyncio.to_thread(self._world.end_node, machine)

    async def _look_after_cluster(self) -> None:
        await asyncio.to_thread(self._world.end_outdated)
        await asyncio.to_thread(self._world.start_core)
        self._note_restarts(await asyncio.to_thread(self._world.restarts))
        await self.look()

    async def _watch_over_all(self) -> None:
        await self._watch.look(self._world.wards(self._machines))

    def _note_restarts(self, restarts: Mapping[str, int]) -> None:
        # What happened before this process began, another one has told.
        before = restarts if self._restarts is None else self._restarts
        for name, count in restarts.items():
            if count > before.get(name, 0):
                logger.warning("%s has ended and is started again (%s by now)", name, count)
        self._restarts = restarts

    async def _keep_proxies(self) -> None:
        await asyncio.to_thread(self._world.keep_proxies)
