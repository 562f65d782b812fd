"""Jobs that wait for an engine, first come first served; a job that lost its engine goes back to the front."""

from collections import OrderedDict
from collections.abc import Iterator

from msgspec import Struct

from cluster.ids import NodeId
from cluster.messages import Job, Output


class Waiting(Struct, frozen=True):
    """A job to place: the attempt to make, and the output to go on from."""

    job: Job
    attempt: int = 1
    resume: Output = Output()


_Lane = tuple[str, NodeId | None]


class JobQueue:
    """One lane per model and pinned node, so that a job which waits for its node holds up nobody."""

    def __init__(self) -> None:
        self._lanes: dict[_Lane, OrderedDict[str, Waiting]] = {}
        self._lane_of: dict[str, _Lane] = {}
        self._per_model: dict[str, int] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._lane_of

    def __len__(self) -> int:
        return len(self._lane_of)

    def waiting(self, job_id: str) -> Waiting | None:
        """This job, if it waits."""
        lane_id = self._lane_of.get(job_id)
        return None if lane_id is None else self._lanes[lane_id][job_id]

    def waiting_for(self, model: str) -> int:
        """How many jobs of this model wait."""
        return self._per_model.get(model, 0)

    def push(self, waiting: Waiting, first: bool = False) -> None:
        """Add a job, at the end or, with `first`, before all that wait. A job that waits already stays as it is."""
        job = waiting.job
        if job.id in self._lane_of:
            return
        lane_id = (job.model, job.node_id)
        lane = self._lanes.setdefault(lane_id, OrderedDict())
        lane[job.id] = waiting
        if first:
            lane.move_to_end(job.id, last=False)
        self._lane_of[job.id] = lane_id
        self._per_model[job.model] = self._per_model.get(job.model, 0) + 1

    def remove(self, job_id: str) -> Waiting | None:
        """Take a job out, wherever it stands."""
        lane_id = self._lane_of.pop(job_id, None)
        if lane_id is None:
            return None
        waiting = self._lanes[lane_id].pop(job_id)
        if not self._lanes[lane_id]:
            del self._lanes[lane_id]
        self._per_model[waiting.job.model] -= 1
        return waiting

    def heads(self) -> list[Waiting]:
        """The first job of every lane."""
        return [next(iter(lane.values())) for lane in self._lanes.values()]

    def behind(self, head: Waiting) -> Waiting | None:
        """The job that is first now where `head` was."""
        lane = self._lanes.get((head.job.model, head.job.node_id))
        return next(iter(lane.values())) if lane else None

    def pinned_lanes(self) -> list[tuple[str, NodeId]]:
        """The models and nodes that pinned jobs wait for."""
        return [(model, node_id) for model, node_id in self._lanes if node_id is not None]

    def pinned(self) -> Iterator[Waiting]:
        """All that wait for one node."""
        for (_, node_id), lane in list(self._lanes.items()):
            if node_id is not None:
                yield from list(lane.values())

    def of_model(self, model: str) -> Iterator[Waiting]:
        """All that wait for this model."""
        for (name, _), lane in list(self._lanes.items()):
            if name == model:
                yield from list(lane.values())
