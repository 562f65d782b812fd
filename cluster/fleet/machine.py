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
        self.online = False
        self.draining = False
        self.replicas: dict[EngineId, Replica] = {}

    def hear(self, report: NodeReport, now_s: float, now_ms: int) -> None:
        """Take in what the node tells of itself, but for its engines."""
        self.hardware: Hardware = report.hardware
        self.heard_s = now_s
        self.heard_ms = now_ms
        self.turn(online=True)
        if report.draining:
            self.drain()

    def turn(self, online: bool) -> None:
        if self.online != online:
            self.online = online
            self._rank_replicas()

    def drain(self) -> None:
        """The node gets no more work, and does not count for its models any more."""
        if not self.draining:
            self.draining = True
            for replica in self.replicas.values():
                del replica.peers.counted[replica.id]
            self._rank_replicas()

    def of_model(self, model: str) -> "list[Replica]":
        return [replica for replica in self.replicas.values() if replica.model.id == model]

    @property
    def takes_work(self) -> bool:
        return self.online and not self.draining

    def _rank_replicas(self) -> None:
        for replica in self.replicas.values():
            replica.rank()
