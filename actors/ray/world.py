"""The Ray cluster, as the Supervisor acts on it."""

from collections.abc import Sequence, Set

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.directory import JOURNAL, LEDGER, NODE, RATE_LIMITER, SCHEDULER
from actors.ray.wards import RayWard
from cluster.ids import node_id
from cluster.settings.schema import Settings


class RayWorld:
    """The Ray cluster, as the Supervisor acts on it."""

    def __init__(self, settings: Settings, admin_key: str | None) -> None:
        self._settings = settings
        self._admin_key = admin_key
        # A database in a file is on the machine that this runs on.
        self._here = {"scheduling_strategy": NodeAffinitySchedulingStrategy(_this_machine(), soft=False)}
        self._core = [RayWard(kind) for kind in (LEDGER, RATE_LIMITER, JOURNAL, SCHEDULER)]
        self._nodes: dict[str, RayWard] = {}

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

    def wards(self, machines: Set[str]) -> Sequence[RayWard]:
        self._nodes = {machine: self._nodes.get(machine) or RayWard(NODE, node_id(machine)) for machine in machines}
        return [*self._core, *self._nodes.values()]


def _this_machine() -> str:
    return str(ray.get_runtime_context().get_node_id())
