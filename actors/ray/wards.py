"""An actor, as it is watched: its pulse, and the process that Ray runs it in."""

import asyncio
import os
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray._private import state
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.machine import vitals
from actors.ray.kind import Kind
from actors.ray.remote import Pulse
from cluster.liveness.silence import Vitals, seen_from

R = TypeVar("R")

# Where the process is on another machine, somebody there has to look: a worker, which may have to be started first.
_THERE_S = 15.0


class RayWard:
    """The actor `key` of this kind."""

    def __init__(self, kind: Kind[Any], key: str = "") -> None:
        self.name = kind.full_name(key)
        self._kind = kind
        self._key = key
        self._actor = kind.remote(key)
        self._last_pulse: Pulse | None = None
        self._machine = ""

    async def pulse(self) -> None:
        """Returns once the actor's process has answered. Raises Unreachable when it is gone."""
        self._last_pulse = await self._actor.pulse()

    @property
    def heard(self) -> Pulse | None:
        """What it said last."""
        return self._last_pulse

    def exists(self) -> bool:
        """Whether there is such an actor, alive or being started."""
        return self._kind.actor_id(self._key) is not None

    def kill(self) -> None:
        """End the actor, for good."""
        self._kind.kill(self._key)
        self._last_pulse = None

    async def vitals(self) -> Vitals | None:
        """What the machine of its process says of that; None when there is none, or it cannot be asked."""
        self._machine, pid = await asyncio.to_thread(self._process)
        if not pid:
            return None
        pulse = self._last_pulse
        thread = pulse.loop_thread if pulse is not None and pulse.pid == pid else None
        watched = await self._there(vitals.read, pid, thread)
        return watched and seen_from(await asyncio.to_thread(vitals.read, os.getpid()), watched)

    async def end(self, seen: Vitals) -> None:
        """End the process, if it is still this one."""
        await self._there(vitals.kill, seen)

    def _process(self) -> tuple[str, int]:
        """The machine and the id of the actor's process, as Ray's head has them; 0 when there is none."""
        actor_id = self._kind.actor_id(self._key)
        if actor_id is None:
            return "", 0
        known = state.actors(actor_id=actor_id)
        return (str(known["Address"]["NodeID"]), int(known["Pid"])) if known else ("", 0)

    async def _there(self, call: Callable[..., R], *args: object) -> R | None:
        """Make the call on the machine of the process. None when nobody can."""
        if self._machine == ray.get_runtime_context().get_node_id():
            return await asyncio.to_thread(call, *args)
        there = NodeAffinitySchedulingStrategy(self._machine, soft=False)
        task = ray.remote(num_cpus=0, max_retries=0)(call).options(scheduling_strategy=there)
        try:
            async with asyncio.timeout(_THERE_S):
                return await task.remote(*args)  # type: ignore[no-any-return]
        except (RayError, TimeoutError):
            return None
