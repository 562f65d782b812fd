"""A machine of the network, as the Scheduler sees it."""

from typing import TYPE_CHECKING

from cluster.ids import EngineId, NodeId
from cluster.messages.machines import Hardware, NodeReport

if TYPE_CHECKING:
    from cluster.fleet.replica import Replica


class Machine:
    """A machine, as it last told of itself, and the engines that it is to run."""

    def __init__(self, node_id: NodeId) -> None:
        self.id = node_id
        self._is_known = False
        # What it was told, as it repeats it.
        self._was_told_to_drain = False
        self.online = False
        self.draining_since_s: float | None = None
        self.replicas: dict[EngineId, Replica] = {}

    def hear(self, report: NodeReport, now_s: float, now_ms: int) -> None:
        """Take in what the node tells of itself, but for its engines."""
        self.hardware: Hardware = report.hardware
        self.heard_s = now_s
        self.heard_ms = now_ms
        self.turn(online=True)
        if report.draining and not self._is_known:
            self.drain(True, now_s)
        self._is_known = True
        self._was_told_to_drain = report.draining

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

    @property
    def takes_work(self) -> bool:
        return self.online and not self.draining

    def _rank_replicas(self) -> None:
        for replica in self.replicas.values():
            replica.rank()
