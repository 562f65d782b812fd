"""Jobs that wait for an engine, first come first served; a job that lost its engine goes back to the front.

A waiting job is kept as bytes: a third of what its objects would take, and nothing for the garbage collector to visit.
"""

from collections import OrderedDict
from typing import NamedTuple

import msgspec
from msgspec import Struct

from cluster.ids import NodeId
from cluster.messages.work import Job, Output


class Waiting(Struct, frozen=True, array_like=True):
    """A job to place: the attempt to make, and the output to go on from."""

    job: Job
    attempt: int = 1
    resume: Output = Output()


class LaneId(NamedTuple):
    """What the jobs of a lane ask for: a model, and a node if they are pinned."""

    model: str
    node_id: NodeId | None = None


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Waiting).decode


class _Lane:
    """Jobs that ask for the same, in their order: any engine that can take one can take each."""

    def __init__(self, lane_id: LaneId) -> None:
        self.id = lane_id
        self.jobs: OrderedDict[str, bytes] = OrderedDict()


class JobQueue:
    """One lane per model and pinned node, so that a job which waits for its node holds up nobody.

    What is done to one job costs the same however many wait.
    """

    def __init__(self) -> None:
        self._lanes: dict[LaneId, _Lane] = {}
        self._lane_of: dict[str, _Lane] = {}
        self._per_model: dict[str, int] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._lane_of

    def __len__(self) -> int:
        return len(self._lane_of)

    def waiting(self, job_id: str) -> Waiting | None:
        """This job, if it waits."""
        lane = self._lane_of.get(job_id)
        return None if lane is None else _unpack(lane.jobs[job_id])

    def waiting_for(self, model: str) -> int:
        """How many jobs of this model wait."""
        return self._per_model.get(model, 0)

    def push(self, waiting: Waiting, first: bool = False) -> None:
        """Add a job, at the end or, with `first`, before all that wait. A job that waits already stays as it is."""
        job = waiting.job
        if job.id in self._lane_of:
            return
        lane_id = LaneId(job.model, job.node_id)
        lane = self._lanes.get(lane_id)
        if lane is None:
            lane = self._lanes[lane_id] = _Lane(lane_id)
        lane.jobs[job.id] = _pack(waiting)
        if first:
            lane.jobs.move_to_end(job.id, last=False)
        self._lane_of[job.id] = lane
        self._per_model[job.model] = self._per_model.get(job.model, 0) + 1

    def remove(self, job_id: str) -> Waiting | None:
        """Take a job out, wherever it stands."""
        lane = self._lane_of.pop(job_id, None)
        if lane is None:
            return None
        packed = lane.jobs.pop(job_id)
        if not lane.jobs:
            del self._lanes[lane.id]
        self._per_model[lane.id.model] -= 1
        return _unpack(packed)

    def pop(self, lane_id: LaneId) -> Waiting | None:
        """Take out the first job of a lane."""
        lane = self._lanes.get(lane_id)
        return None if lane is None else self.remove(next(iter(lane.jobs)))

    def waits(self, lane_id: LaneId) -> bool:
        """Whether any job waits in this lane."""
        return lane_id in self._lanes

    def lanes(self) -> list[LaneId]:
        """The lanes in which jobs wait."""
        return list(self._lanes)

    def pinned_lanes(self) -> list[tuple[LaneId, NodeId]]:
        """The lanes of pinned jobs, and the nodes that they wait for."""
        return [(lane_id, lane_id.node_id) for lane_id in self._lanes if lane_id.node_id is not None]

    def clear(self, lane_id: LaneId) -> list[str]:
        """Take out all jobs of a lane. Returns their ids, in their order."""
        lane = self._lanes.pop(lane_id, None)
        if lane is None:
            return []
        self._per_model[lane.id.model] -= len(lane.jobs)
        for job_id in lane.jobs:
            del self._lane_of[job_id]
        return list(lane.jobs)
