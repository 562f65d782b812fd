"""The Ray cluster, as the Supervisor acts on it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.directory import COURIER, JOURNAL, LEDGER, NODE, RATE_LIMITER, SCHEDULER, SUPERVISOR
from actors.ray import haproxy, machines, seats
from actors.ray.autoscaler import Autoscaler
from actors.ray.haproxy import PROXY_PREFIX, SERVE_NAMESPACE
from actors.ray.kind import Kind
from actors.ray.wards import RayWard
from actors.wire.calls import Unreachable
from cluster.ids import node_id
from cluster.release import VERSION
from cluster.settings.schema import Settings

logger = logging.getLogger(__name__)

# A proxy, or another actor, that does not answer in this time is looked at again.
_ANSWER_S = 5.0


class RayWorld:
    """The Ray cluster, as the Supervisor acts on it: with these settings, which hold no secret, only their names."""

    def __init__(self, settings: Settings, admin_key: str | None) -> None:
        self._models = settings.models
        self._interval_s = settings.stream_interval_ms / 1000
        self._of_nodes = (self._interval_s, settings.models, settings.spot_notices)
        # A database in a file is on the machine that this runs on.
        self._here = {"scheduling_strategy": NodeAffinitySchedulingStrategy(_this_machine(), soft=False)}
        self._core: list[tuple[Kind[Any], tuple[object, ...], RayWard]] = [
            (kind, args, RayWard(kind))
            for kind, args in (
                (LEDGER, (settings.database, admin_key, settings.limits, settings.retention_days)),
                (RATE_LIMITER, ()),
                (JOURNAL, (self._interval_s,)),
                (SCHEDULER, (self._models,)),
                (COURIER, (settings.webhooks,)),
            )
        ]
        self._autoscaler = Autoscaler()
        self._nodes: dict[str, RayWard] = {}
        self._node_args: dict[str, tuple[object, ...]] = {}
        self._kept: dict[str, str] = {}
        self._foreign: set[str] = set()

    def start_core(self) -> None:
        for kind, args, _ in self._core:
            kind.start("", *args, **self._here)

    def machines(self) -> set[str]:
        alive = machines.alive()
        self._node_args = {node["NodeID"]: (*self._of_nodes, node["NodeID"], node["Resources"]) for node in alive}
        if not self._autoscaler.look().brings_machines:
            return set(self._node_args)
        with_seats = {machine for group in seats.groups().values() for machine in group.machines}
        return {node["NodeID"] for node in alive if machines.is_for_control(node) or node["NodeID"] in with_seats}

    def machines_with_node(self) -> set[str]:
        there = set(NODE.existing())
        return {machine for machine in self._node_args if node_id(machine) in there}

    def start_node(self, machine: str) -> None:
        there = NodeAffinitySchedulingStrategy(machine, soft=False)
        NODE.start(node_id(machine), *self._node_args[machine], scheduling_strategy=there)

    def end_node(self, machine: str) -> None:
        NODE.kill(node_id(machine))

    def wards(self, looked_after: Set[str]) -> Sequence[RayWard]:
        self._nodes = {each: self._nodes.get(each) or RayWard(NODE, node_id(each)) for each in looked_after}
        return [*(ward for _, _, ward in self._core), *self._nodes.values()]

    async def hear_all(self) -> None:
        await asyncio.gather(*map(_hear, self.wards(await asyncio.to_thread(self.machines))))

    def end_outdated(self) -> None:
        for kind, args, ward in self._core:
            self._end_if_outdated(ward, kind.made_of(*args))
        for machine, ward in self._nodes.items():
            if machine in self._node_args:
                self._end_if_outdated(ward, NODE.made_of(*self._node_args[machine]))

    def restarts(self) -> Mapping[str, int]:
        return {kind.full_name(): kind.restarts() for kind in (SUPERVISOR, *(kind for kind, _, _ in self._core))}

    def keep_proxies(self) -> None:
        for actor in list_named_actors(all_namespaces=True):
            name = actor["name"]
            if actor["namespace"] == SERVE_NAMESPACE and name.startswith(PROXY_PREFIX):
                self._keep_proxy(name)

    def _end_if_outdated(self, ward: RayWard, made_of: str) -> None:
        """One of another version is not ended: it would only begin anew as it is. It is told of, once."""
        heard = ward.heard
        if heard is None:
            return
        if heard.version != VERSION and ward.name not in self._foreign:
            self._foreign.add(ward.name)
            logger.error("%s is of version %s, this of %s: start the system anew", ward.name, heard.version, VERSION)
        if heard.version == VERSION and heard.made_of != made_of:
            logger.warning("%s has other settings by now: it begins anew", ward.name)
            ward.kill()

    def _keep_proxy(self, name: str) -> None:
        """Once for each proxy: Serve starts another actor, by the same name, in the place of one that died."""
        with suppress(ValueError, RayError):  # it has gone meanwhile, or is being started: it is looked at again
            proxy = ray.get_actor(name, SERVE_NAMESPACE)
            actor_id = proxy._actor_id.hex()
            if self._kept.get(name) != actor_id:
                ray.get(proxy.__ray_call__.remote(haproxy.keep_there), timeout=_ANSWER_S)
                self._kept[name] = actor_id


async def _hear(ward: RayWard) -> None:
    with suppress(Unreachable, TimeoutError):
        if await asyncio.to_thread(ward.exists):
            async with asyncio.timeout(_ANSWER_S):
                await ward.pulse()


def _this_machine() -> str:
    return str(ray.get_runtime_context().get_node_id())
