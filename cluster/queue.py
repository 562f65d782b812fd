"""Jobs that wait for an engine, first come first served; a job that lost its engine goes back to the front.

A waiting job is kept as bytes: a third of what its objects would take, and nothing for the garbage collector to visit.
"""

from collections import OrderedDict
from typing import NamedTuple

import msgspec
from msgspec import Struct

from cluster.ids import JobId, NodeId
from cluster.messages.work import Job, Output

SUSPECT_AFTER = 2


class LaneId(NamedTuple):
    """What the jobs of a lane ask for: a model, a node if they are pinned, an engine without a suspect if they are."""

    model: str
    node_id: NodeId | None = None
    suspect: bool = False


class Waiting(Struct, frozen=True, array_like=True):
    """A job to place: the attempt to make, and the output to go on from.

    `losses` is how many deaths of engines are laid to it (`cluster/leases/suspicion.py`), `failures` how many engines
    have failed it and gone on.
    """

    job: Job
    attempt: int = 1
    resume: Output = Output()
    losses: int = 0
    failures: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether it may be what the engines died of."""
        return self.losses >= SUSPECT_AFTER

    @property
    def lane(self) -> LaneId:
        return LaneId(self.job.model, self.job.node_id, self.is_suspect)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Waiting).decode


class JobQueue:
    """One lane per model and pinned node, and one for suspects: a job that waits for one engine holds up nobody.

    The jobs of a lane ask for the same: an engine that can take one can take each. Whoever asks for a job knows its
    lane (`cluster/leases/leases.py`). What is done to one job costs the same however many wait.
    """

    def __init__(self) -> None:
        self._lanes: dict[LaneId, OrderedDict[JobId, bytes]] = {}
        self._per_model: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._per_model.values())

    def waiting(self, lane_id: LaneId, job_id: JobId) -> Waiting:
        """A job that waits in this lane."""
        return _unpack(self._lanes[lane_id][job_id])

    def waiting_for(self, model: str) -> int:
        """How many jobs of this model wait."""
        return self._per_model.get(model, 0)

    def push(self, lane_id: LaneId, waiting: Waiting, first: bool = False) -> None:
        """Add a job that does not wait yet, at the end of its lane or, with `first`, before all that wait there."""
        lane = self._lanes.setdefault(lane_id, OrderedDict())
        lane[waiting.job.id] = _pack(waiting)
        if first:
            lane.move_to_end(waiting.job.id, last=False)
        self._per_model[lane_id.model] = self._per_model.get(lane_id.model, 0) + 1

    def remove(self, lane_id: LaneId, job_id: JobId) -> Waiting:
        """Take a job out of its lane, wherever it stands there."""
        lane = self._lanes[lane_id]
        packed = lane.pop(job_id)
        if not lane:
            del self._lanes[lane_id]
        self._per_model[lane_id.model] -= 1
        return _unpack(packed)

    def pop(self, lane_id: LaneId) -> Waiting | None:
        """Take out the first job of a lane."""
        lane = self._lanes.get(lane_id)
        return None if lane is None else self.remove(lane_id, next(iter(lane)))

    def waits(self, lane_id: LaneId) -> bool:
        """Whether any job waits in this lane."""
        return lane_id in self._lanes

    def lanes(self) -> list[LaneId]:
        """The lanes in which jobs wait. Those of suspects come first: they have waited before, and can go to few."""
        return sorted(self._lanes, key=lambda lane_id: not lane_id.suspect)

    def lanes_of(self, model: str) -> list[LaneId]:
        """The lanes in which jobs of this model wait."""
        return [lane_id for lane_id in self._lanes if lane_id.model == model]

    def order(self, lane_id: LaneId) -> list[JobId]:
        """The jobs that wait in this lane, in their order."""
        return list(self._lanes.get(lane_id, ()))

    def pinned_lanes(self) -> list[tuple[LaneId, NodeId]]:
        """The lanes of pinned jobs, and the nodes that they wait for."""
        return [(lane_id, lane_id.node_id) for lane_id in self._lanes if lane_id.node_id is not None]

    def clear(self, lane_id: LaneId) -> list[Waiting]:
        """Take out all jobs of a lane, in their order."""
        lane = self._lanes.pop(lane_id, None)
        if lane is None:
            return []
        self._per_model[lane_id.model] -= len(lane)
        return [_unpack(packed) for packed in lane.values()]
