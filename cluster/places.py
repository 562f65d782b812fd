"""Where a job can be while it has not ended, and the book of where every job is.

    submitted -> Unconfirmed -> Queued -> Leased -> (released) gone
                      |            ^        |
                    Begun ------- | ---> Leased
                                   |        | engine lost, or order lost
                                  fenced <- Lost <- Recovering <- (a restart)

`cluster/leases.py` moves jobs between these places, and nobody else does.
"""

from collections.abc import Iterator

from msgspec import Struct

from cluster import placement
from cluster.fleet.fleet import Fleet
from cluster.ids import EngineId, JobId
from cluster.messages.work import OpenJob
from cluster.queue import JobQueue, LaneId, Waiting


class Unconfirmed(Struct, frozen=True):
    """It is being made durable, and no engine works on it. Once it is durable, it waits for this attempt."""

    attempt: int = 1


class Begun(Struct, frozen=True):
    """An engine works on it while it is being made durable. The engine tells nobody until it is confirmed."""

    waiting: Waiting
    engine_id: EngineId
    since_s: float


class Queued(Struct, frozen=True):
    """It waits in this lane of the queue. The jobs of a lane share one such place."""

    lane: LaneId


class Leased(Struct, frozen=True):
    """An engine has the right to work on it, until it is released or fenced, or its deadline comes."""

    waiting: Waiting
    engine_id: EngineId
    since_s: float


class Lost(Struct, frozen=True):
    """It has lost its engine. It goes on once the Journal has shut out the attempts made."""

    waiting: Waiting


class Recovering(Struct, frozen=True):
    """It is from before a restart. An engine may still work on it, which the nodes' reports will tell."""

    open_job: OpenJob


Place = Unconfirmed | Begun | Queued | Leased | Lost | Recovering


class Places:
    """One place per job, and in step with it: the queue of those that wait, and what each engine has been assigned.

    Sole owner of all three. It decides nothing.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.queue = JobQueue()
        self.working = 0
        """How many jobs engines work on."""
        self._fleet = fleet
        self._places: dict[JobId, Place] = {}
        # The jobs of a lane share one place: there may be a million of them.
        self._queued: dict[LaneId, Queued] = {}

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[JobId, Place]]:
        return iter(self._places.items())

    def get(self, job_id: JobId) -> Place | None:
        return self._places.get(job_id)

    def waiting(self, job_id: JobId) -> Waiting | None:
        """The attempt at this job that is to be made or has been, and what it goes on from; None if none has been."""
        match self._places.get(job_id):
            case Begun(waiting) | Leased(waiting) | Lost(waiting):
                return waiting
            case Queued(lane):
                return self.queue.waiting(lane, job_id)
        return None

    def put(self, job_id: JobId, place: Unconfirmed | Lost | Recovering) -> None:
        """The job is here from now on, and no engine works on it."""
        self.remove(job_id)
        self._places[job_id] = place

    def assign(self, place: Begun | Leased) -> None:
        """An engine works on the job from now on."""
        job = place.waiting.job
        self.remove(job.id)
        self._places[job.id] = place
        self.working += 1
        if replica := self._fleet.replica(place.engine_id):
            replica.assign(job.id, placement.estimate_tokens(job))

    def confirm(self, job_id: JobId, begun: Begun) -> None:
        """The job that had begun is durable: its engine has a lease."""
        self._places[job_id] = Leased(begun.waiting, begun.engine_id, begun.since_s)

    def enqueue(self, waiting: Waiting, first: bool = False) -> None:
        """The job waits from now on, last in its lane or first."""
        lane = LaneId.of(waiting.job)
        self.remove(waiting.job.id)
        self.queue.push(lane, waiting, first)
        self._places[waiting.job.id] = self._queued.setdefault(lane, Queued(lane))

    def pop(self, lane: LaneId) -> Waiting | None:
        """Take out the first job that waits in this lane."""
        waiting = self.queue.pop(lane)
        if waiting is not None:
            del self._places[waiting.job.id]
        return waiting

    def clear(self, lane: LaneId) -> list[JobId]:
        """Take out all jobs that wait in this lane."""
        job_ids = self.queue.clear(lane)
        for job_id in job_ids:
            del self._places[job_id]
        return job_ids

    def remove(self, job_id: JobId) -> Place | None:
        """Take out a job, wherever it is. Returns where it was."""
        place = self._places.pop(job_id, None)
        match place:
            case Begun(_, engine_id) | Leased(_, engine_id):
                self.working -= 1
                if replica := self._fleet.replica(engine_id):
                    replica.release(job_id)
            case Queued(lane):
                self.queue.remove(lane, job_id)
        return place
