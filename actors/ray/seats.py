"""Seats as Ray's placement groups: one for each engine that books something, with a bundle for each of its machines.

A group brings a machine where Ray's autoscaler has one for it, holds what it books against everybody else in the
cluster, and lets its machine go when it is removed.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from ray._private.state import state
from ray._raylet import PlacementGroupID
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from actors.ray import machines
from actors.ray.autoscaler import Autoscaler, Outlook
from cluster import clock
from cluster.ids import EngineId, NodeId, node_id
from cluster.messages.seats import ClusterReport, SeatOrder, SeatReport

logger = logging.getLogger(__name__)

_PREFIX = "infernet/seat/"
_GONE = "REMOVED"
_NODE_ID_LABEL = "ray.io/node-id"
# Where there is room, Ray names the machine within this time.
_AT_ONCE_S = 0.5
# The first autoscaler does not tell that it has nothing: it starts nothing for so long.
_NOTHING_STARTED_S = 30.0


class Group(Struct, frozen=True):
    """A placement group of Ray's that is a seat. `machine` is Ray's id of the one that the engine is on.

    `further` are those of its other bundles, in their order. It is None, and there are none, while one is missing. Its
    name says for whom it is, and what that engine is to be `made_of`.
    """

    id: str
    engine_id: EngineId
    machine: str | None
    made_of: str = ""
    further: tuple[str, ...] = ()

    @property
    def machines(self) -> tuple[str, ...]:
        return () if self.machine is None else (self.machine, *self.further)


def groups() -> dict[EngineId, Group]:
    """The seats that there are. Blocks."""
    found = [_group(each) for each in placement_group_table().values() if _is_seat(each)]
    return {group.engine_id: group for group in found}


def handle(group: Group) -> PlacementGroup:
    """The group, as Ray's options name it."""
    return PlacementGroup(PlacementGroupID.from_hex(group.id))


def remove_all() -> None:
    """Give up every seat. Blocks."""
    for group in groups().values():
        remove_placement_group(handle(group))


class RaySeats:
    """Makes and removes groups as it is told, and tells of all machines and seats."""

    def __init__(self) -> None:
        self._autoscaler = Autoscaler()
        self._outlook = Outlook(brings_machines=False)
        self._waiting_since_s: dict[str, float] = {}

    async def see_to(self, orders: Sequence[SeatOrder], unwanted: Iterable[EngineId]) -> ClusterReport:
        """Make the seats that are ordered and not there, remove the unwanted ones, and tell of all that there are."""
        return await asyncio.to_thread(self._see_to, orders, set(unwanted))

    def _see_to(self, orders: Sequence[SeatOrder], unwanted: set[EngineId]) -> ClusterReport:
        there, nodes = groups(), machines.all_of_them()
        alive = machines.are_alive(nodes)
        for engine_id in unwanted & there.keys():
            remove_placement_group(handle(there.pop(engine_id)))
        made = _make_all([order for order in orders if order.engine_id not in there], alive)
        give_up_s = clock.monotonic_s() + _AT_ONCE_S
        for group in made:
            group.wait(max(give_up_s - clock.monotonic_s(), 0))
        if made:
            there = {engine_id: group for engine_id, group in groups().items() if engine_id not in unwanted}
        self._look_out(there)
        return self._report(there, alive, machines.given_back(nodes))

    def _look_out(self, there: Mapping[EngineId, Group]) -> None:
        waiting = [group.id for group in there.values() if group.machine is None]
        now_s = clock.monotonic_s()
        self._waiting_since_s = {group: self._waiting_since_s.get(group, now_s) for group in waiting}
        self._outlook = self._autoscaler.look(is_urgent=bool(waiting))
        if self._outlook.is_starting:
            self._waiting_since_s = dict.fromkeys(waiting, now_s)

    def _report(
        self, there: Mapping[EngineId, Group], alive: list[dict[str, Any]], given_back: frozenset[NodeId]
    ) -> ClusterReport:
        leaving, elastic = machines.leaving(), self._outlook.brings_machines
        return ClusterReport(
            tuple(machines.report(node, elastic, leaving.get(node["NodeID"])) for node in alive),
            tuple(self._seat_report(group) for group in there.values()),
            elastic,
            given_back,
        )

    def _seat_report(self, group: Group) -> SeatReport:
        where = None if group.machine is None else node_id(group.machine)
        is_hopeless = where is None and self._is_hopeless(group.id)
        further = tuple(map(node_id, group.further))
        return SeatReport(group.engine_id, where, is_hopeless, group.made_of, further)

    def _is_hopeless(self, group_id: str) -> bool:
        if self._outlook.hopeless is not None:
            return group_id in self._outlook.hopeless
        return clock.monotonic_s() - self._waiting_since_s[group_id] >= _NOTHING_STARTED_S


def _make_all(orders: Sequence[SeatOrder], alive: list[dict[str, Any]]) -> list[PlacementGroup]:
    free: dict[str, dict[str, float]] = state.available_resources_per_node() if orders else {}
    best = (best_machine(order, alive, free) if order.machines == 1 else None for order in orders)
    return [_make(order, alive, machine) for order, machine in zip(orders, best, strict=True)]


def _make(order: SeatOrder, alive: list[dict[str, Any]], best: str | None) -> PlacementGroup:
    booked = _booked(order)
    selector = dict(order.labels) | _elsewhere(order.avoided, alive)
    logger.info(
        "a seat for %s: %s on %d machines %s, best on %s",
        order.engine_id,
        booked,
        order.machines,
        selector,
        best or "any",
    )
    return placement_group(
        [booked] * order.machines,
        strategy="STRICT_PACK" if order.machines == 1 else "STRICT_SPREAD",
        name=f"{_PREFIX}{order.made_of}/{order.engine_id}",
        lifetime="detached",
        _soft_target_node_id=best,
        bundle_label_selector=[selector] * order.machines if selector else None,
    )


def _booked(order: SeatOrder) -> dict[str, float]:
    return {kind: amount for kind, amount in (("GPU", order.gpus), ("CPU", order.cpus)) if amount}


def best_machine(order: SeatOrder, alive: list[dict[str, Any]], free: dict[str, dict[str, float]]) -> str | None:
    """The fullest machine that has room, of those that are preferred if one of them has; by Ray's id.

    Ray itself takes the emptiest, so that none would be left for an engine that needs most of one. It goes by labels
    first. What the seat gets there is taken from what is `free`.
    """
    booked = _booked(order)
    there = {node_id(each["NodeID"]): each["NodeID"] for each in alive}
    roomy = {
        each: ray_id
        for each, ray_id in there.items()
        if each not in order.avoided and all(free.get(ray_id, {}).get(kind, 0) >= booked[kind] for kind in booked)
    }
    wanted = [roomy[each] for each in order.preferred if each in roomy] or roomy.values()
    best = min(wanted, key=lambda each: [free[each].get(kind, 0) for kind in ("GPU", "CPU")], default=None)
    if best is not None:
        free[best] |= {kind: free[best][kind] - booked[kind] for kind in booked}
    return best


def _elsewhere(avoided: Iterable[NodeId], alive: list[dict[str, Any]]) -> dict[str, str]:
    ids = [found for each in avoided if (found := machines.ray_id(alive, each))]
    return {_NODE_ID_LABEL: f"!in({','.join(ids)})"} if ids else {}


def _is_seat(group: Mapping[str, Any]) -> bool:
    return str(group["name"]).startswith(_PREFIX) and group["state"] != _GONE


def _group(group: Mapping[str, Any]) -> Group:
    made_of, _, name = str(group["name"]).removeprefix(_PREFIX).partition("/")
    engine_id = EngineId(name)
    places: Mapping[int, str] = group["bundles_to_node_id"]
    if group["state"] != "CREATED" or not all(places.values()):
        return Group(group["placement_group_id"], engine_id, None, made_of)
    machine, *further = (places[bundle] for bundle in sorted(places))
    return Group(group["placement_group_id"], engine_id, machine, made_of, tuple(further))
