"""Which nodes would be missed, and which are: those that were online, and that nobody drained or gave back. Pure."""

from collections.abc import Iterable, Mapping
from typing import Literal

from cluster.ids import NodeId
from cluster.messages.alarms import OnlineNode
from cluster.messages.machines import NodeStatus
from cluster.messages.seats import ClusterReport
from cluster.timing import Timing

_Fate = Literal["here", "awaited", "let go", "missed"]


class OnlineNodes:
    """Those `before` were online when the Scheduler before this one was lost: they have a while to be heard of.

    Ray gives machines new ids when its cluster is started anew. Then a machine of one's own has longer to come back, by
    its name, and nobody waits for those that the cluster had made.
    """

    def __init__(self, before: Iterable[OnlineNode], began_s: float, timing: Timing) -> None:
        self._online = {node.id: node for node in before}
        self._unheard = set(self._online)
        self._before = frozenset(self._online)
        self._heard_by_s = began_s + max(timing.settle_s, timing.offline_after_s)
        self._back_by_s = began_s + timing.left_s
        self._cluster: ClusterReport | None = None
        self._names: Mapping[NodeId, str] = {}
        self._taken: frozenset[NodeId] = frozenset()

    @property
    def known(self) -> frozenset[OnlineNode]:
        """Those that would be missed now."""
        return frozenset(self._online.values())

    def survey(self, report: ClusterReport) -> None:
        """Take in what the cluster tells of its machines."""
        self._cluster = report
        self._names = {each.node_id: each.hardware.hostname if each.stays else "" for each in report.machines}
        of_seats = (node_id for seat in report.seats for node_id in seat.nodes)
        self._taken = frozenset({each.node_id for each in report.machines if each.stays}.union(of_seats))

    def look(self, statuses: Mapping[NodeId, NodeStatus], now_s: float, now_ms: int) -> list[OnlineNode]:
        """Take in how all nodes are now. Returns those that are missed from now on."""
        for node_id, status in statuses.items():
            if status == "online":
                self._see(node_id, now_ms)
        fates = {node: self._fate(node, statuses.get(node.id), now_s) for node in self._online.values()}
        for node, fate in fates.items():
            if fate in ("let go", "missed"):
                del self._online[node.id]
        return [node for node, fate in fates.items() if fate == "missed"]

    def _see(self, node_id: NodeId, now_ms: int) -> None:
        self._unheard.discard(node_id)
        before = self._online.get(node_id)
        name = self._names.get(node_id, before.name if before else "")
        if before is None or before.name != name:
            self._online[node_id] = OnlineNode(node_id, before.since_ms if before else now_ms, name)

    def _fate(self, node: OnlineNode, status: NodeStatus | None, now_s: float) -> _Fate:
        if status == "online":
            return "here"
        if status == "draining" or (self._cluster and node.id in self._cluster.given_back):
            return "let go"
        if node.id in self._unheard:
            return self._fate_of_unheard(node, status, now_s)
        return "missed" if status == "offline" else "let go"

    def _fate_of_unheard(self, node: OnlineNode, status: NodeStatus | None, now_s: float) -> _Fate:
        if now_s < self._heard_by_s or self._cluster is None:
            return "awaited"
        if status is not None:
            return "missed" if status == "offline" or node.id in self._taken else "let go"
        if node.name and node.name in {each.hardware.hostname for each in self._cluster.machines}:
            return "let go"
        if not self._is_anew(self._cluster):
            return "missed"
        if not node.name:
            return "let go"
        return "awaited" if now_s < self._back_by_s else "missed"

    def _is_anew(self, cluster: ClusterReport) -> bool:
        """None of its machines was there before."""
        return bool(cluster.machines) and not any(each.node_id in self._before for each in cluster.machines)
