"""The Ray cluster, as the Supervisor acts on it."""

from collections.abc import Sequence, Set
from contextlib import suppress

import ray
from ray.exceptions import RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.directory import JOURNAL, LEDGER, NODE, RATE_LIMITER, SCHEDULER
from actors.ray import haproxy
from actors.ray.haproxy import PROXY_PREFIX, SERVE_NAMESPACE
from actors.ray.wards import RayWard
from cluster.ids import node_id
from cluster.settings.schema import Settings

# A proxy that does not answer in this time is looked at again.
_PROXY_S = 5.0


class RayWorld:
    """The Ray cluster, as the Supervisor acts on it."""

    def __init__(self, settings: Settings, admin_key: str | None) -> None:
        self._settings = settings
        self._admin_key = admin_key
        # A database in a file is on the machine that this runs on.
        self._here = {"scheduling_strategy": NodeAffinitySchedulingStrategy(_this_machine(), soft=False)}
        self._core = [RayWard(kind) for kind in (LEDGER, RATE_LIMITER, JOURNAL, SCHEDULER)]
        self._nodes: dict[str, RayWard] = {}
        self._kept: dict[str, str] = {}

    def start_core(self) -> None:
        LEDGER.start("", self._settings, self._admin_key, **self._here)
        RATE_LIMITER.start("", **self._here)
        JOURNAL.start("", self._settings, **self._here)
        SCHEDULER.start("", self._settings, **self._here)

    def machines(self) -> set[str]:
        return {node["NodeID"] for node in ray.nodes() if node["Alive"]}

    def start_node(self, machine: str) -> None:
        resources = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == machine)
        there = NodeAffinitySchedulingStrategy(machine, soft=False)
        NODE.start(node_id(machine), self._settings, machine, resources, scheduling_strategy=there)

    def keep_proxies(self) -> None:
        for actor in list_named_actors(all_namespaces=True):
            name = actor["name"]
            if actor["namespace"] == SERVE_NAMESPACE and name.startswith(PROXY_PREFIX):
                self._keep_proxy(name)

    def _keep_proxy(self, name: str) -> None:
        """Once for each proxy: Serve starts another actor, by the same name, in the place of one that died."""
        with suppress(ValueError, RayError):  # it has gone meanwhile, or is being started: it is looked at again
            proxy = ray.get_actor(name, SERVE_NAMESPACE)
            actor_id = proxy._actor_id.hex()
            if self._kept.get(name) != actor_id:
                ray.get(proxy.__ray_call__.remote(haproxy.keep), timeout=_PROXY_S)
                self._kept[name] = actor_id

    def wards(self, machines: Set[str]) -> Sequence[RayWard]:
        self._nodes = {machine: self._nodes.get(machine) or RayWard(NODE, node_id(machine)) for machine in machines}
        return [*self._core, *self._nodes.values()]


def _this_machine() -> str:
    return str(ray.get_runtime_context().get_node_id())
