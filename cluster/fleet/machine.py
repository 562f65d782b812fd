"""A machine of the network, as the Scheduler sees it."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cluster.fleet.gpu_types import TYPE_LABEL
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import GpuLoad, Hardware, NodeReport, NodeStatus, NodeView
from cluster.messages.seats import MachineReport

if TYPE_CHECKING:
    from cluster.fleet.replica import Replica
    from cluster.fleet.seat import Seat


LEAVE_MARGIN_S = 10.0
"""So long before a machine is taken away, all that runs there goes on elsewhere."""


class Machine:
    """A machine, as its node or the cluster last told of it, and the engines that it is to run.

    It is `online` while its node is heard. `in_cluster` is whether the cluster has it, None before that has told;
    `stays`, whether it stays there when it has nothing to do.
    """

    def __init__(self, node_id: NodeId, hardware: Hardware) -> None:
        self.id = node_id
        self.hardware = hardware
        self.gpu_loads: tuple[GpuLoad, ...] = ()
        self.in_cluster: bool | None = None
        self.stays = True
        self.labels: Mapping[str, str] = {}
        self.heard_s, self.heard_ms = -math.inf, 0
        self.weights: frozenset[str] = frozenset()
        """The models whose weights it has, as its node last told: it has them after the node has gone, too."""
        self._has_told = False
        self._running: set[EngineId] = set()
        self._leaves_at_ms: int | None = None
        # What it was told, as it repeats it.
        self._was_told_to_drain = False
        self.online = False
        self.draining_since_s: float | None = None
        self.replicas: dict[EngineId, Replica] = {}
        self.seats: dict[EngineId, Seat] = {}

    def hear(self, report: NodeReport, now_s: float, now_ms: int) -> None:
        """Take in what the node tells of itself, but for its engines."""
        self.hardware, self.gpu_loads = report.hardware, report.gpu_loads
        self.heard_s, self.heard_ms = now_s, now_ms
        self.turn(online=True)
        if report.draining and not self._has_told:
            self.drain(True, now_s)
        self._has_told = True
        self._was_told_to_drain = report.draining
        if report.complete:
            self._running = {engine.id for engine in report.engines}.union(report.ending)
        if report.cached is not None:
            self.weights = frozenset(report.cached)

    def runs(self, engine_id: EngineId) -> bool:
        """Whether something of this engine was there when the node last told."""
        return engine_id in self._running

    def see(self, report: MachineReport, now_s: float, now_ms: int) -> None:
        """Take in what the cluster tells of it. One that is about to leave gets no more work."""
        self.in_cluster, self.stays, self.labels = True, report.stays, report.labels
        if not self._has_told:
            self.hardware, self.heard_ms = report.hardware, now_ms
        self._leaves_at_ms = report.leaves_at_ms
        if report.leaves_at_ms is not None:
            self.drain(True, now_s)

    def leave(self) -> None:
        """The cluster has it no more. If it comes back, it begins anew."""
        self.in_cluster = False
        self.draining_since_s = self._leaves_at_ms = None
        self._has_told = False
        self.weights = frozenset()
        self.turn(online=False)

    def is_silent(self, now_s: float, limit_s: float) -> bool:
        """Its node has not been heard for so long."""
        return now_s - self.heard_s >= limit_s

    def turn(self, online: bool) -> None:
        if self.online != online:
            self.online = online
            self._rank_replicas()

    @property
    def draining(self) -> bool:
        return self.draining_since_s is not None

    def drain(self, drains: bool, now_s: float) -> None:
        """The node gets no more work, and its engines retire; or it gets work again, and those that are wanted stay."""
        if not drains:
            self.draining_since_s = None
        elif not self.draining:
            self.draining_since_s = now_s
            for replica in self.replicas.values():
                replica.retire(now_s)

    @property
    def knows_whether_it_drains(self) -> bool:
        """It has been told: whoever comes after this Scheduler will hear of it."""
        return self._was_told_to_drain == self.draining

    def leaves_soon(self, now_ms: int) -> bool:
        """There is no more time for what runs there to end by itself."""
        return self._leaves_at_ms is not None and now_ms >= self._leaves_at_ms - LEAVE_MARGIN_S * 1000

    @property
    def status(self) -> NodeStatus:
        if self.draining and (self.online or self.in_cluster):
            return "draining"
        if self.online:
            return "online"
        is_missed = self._has_told and (self.stays or self.replicas or self.seats)
        return "idle" if self.in_cluster and not is_missed else "offline"

    @property
    def gpu_type(self) -> str:
        """What its label says of its GPUs; empty where there is none."""
        return self.labels.get(TYPE_LABEL, "")

    @property
    def takes_seats(self) -> bool:
        """As far as is known, engines may be placed there: it is being looked after, or will be."""
        return not self.draining and (self.online or bool(self.in_cluster))

    @property
    def takes_work(self) -> bool:
        return self.online and not self.draining

    def view(self) -> NodeView:
        """This machine, as clients are told of it."""
        engines = tuple(replica.report for replica in self.replicas.values() if replica.report is not None)
        weights = tuple(sorted(self.weights))
        return NodeView(self.id, self.status, self.heard_ms, self.hardware, engines, weights, self.gpu_loads)

    def _rank_replicas(self) -> None:
        for replica in self.replicas.values():
            replica.rank()
