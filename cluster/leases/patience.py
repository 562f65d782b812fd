"""Which waiting jobs wait for what will not come. Pure."""

from collections.abc import Iterator

from cluster import acceptance
from cluster.errors import InfernetError, NodeDisconnected
from cluster.fleet.fleet import Fleet
from cluster.ids import NodeId
from cluster.queue import JobQueue, LaneId


class Patience:
    """Watches the lanes of the queue: jobs that find no engine get `grace_s`, those whose node is gone none."""

    def __init__(self, fleet: Fleet, queue: JobQueue, grace_s: float) -> None:
        self._fleet = fleet
        self._queue = queue
        self._grace_s = grace_s
        self._stranded_since_s: dict[LaneId, float] = {}

    def disconnected(self) -> Iterator[tuple[LaneId, InfernetError]]:
        """The lanes of jobs that are pinned to a node which has gone: a pinned job does not outlive its node."""
        for lane, node_id in self._queue.pinned_lanes():
            if self._fleet.knows_node(node_id) and not self._fleet.online(node_id):
                yield lane, disconnected(node_id)

    def exhausted(self, now_s: float) -> Iterator[tuple[LaneId, InfernetError]]:
        """The lanes of jobs whose model fits on no machine, or whose node is not going to have an engine of it.

        So are those of a model that is not listed any more: its engines ended when the settings changed.
        """
        for lane in self._queue.lanes():
            if not self._fleet.models.lists(lane.model):
                yield lane, acceptance.not_registered(lane.model)
        for model in self._fleet.without_room(now_s, self._grace_s):
            if not self._fleet.models.serves(model):
                yield from ((lane, acceptance.no_capacity(model)) for lane in self._queue.lanes_of(model))
        stranded = [lane for lane, node_id in self._queue.pinned_lanes() if self._is_stranded(lane, node_id)]
        self._stranded_since_s = {lane: self._stranded_since_s.get(lane, now_s) for lane in stranded}
        for lane, since_s in self._stranded_since_s.items():
            if now_s - since_s > self._grace_s:
                yield lane, acceptance.no_capacity(lane.model)

    def _is_stranded(self, lane: LaneId, node_id: NodeId) -> bool:
        is_listed = self._fleet.models.lists(lane.model)
        return is_listed and self._fleet.online(node_id) and not self._fleet.has_replica(lane.model, node_id)


def disconnected(node_id: NodeId) -> NodeDisconnected:
    return NodeDisconnected(f"Node {node_id} is gone")
