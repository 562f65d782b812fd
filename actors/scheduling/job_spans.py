"""The spans of jobs between their submission and their end: the job, its time in the queue, its moves."""

from collections.abc import Callable, Iterable, Sequence

from actors.telemetry import inference, spans
from actors.telemetry.spans import Attribute
from cluster import clock, traceparent
from cluster.ids import EngineId, JobId
from cluster.messages.work import Dispatch, Failure, Job, JobAttempt, OpenJob, Released

_NS_PER_MS = 1_000_000


class _Way:
    """A job's way so far: since when it waits, or runs as `attempt` in `engine_id`."""

    __slots__ = ("attempt", "began_ns", "engine_id", "is_moved", "job", "since_ns")

    def __init__(self, job: Job, began_ns: int) -> None:
        self.job = job
        self.began_ns = self.since_ns = began_ns
        self.attempt = 0
        self.engine_id: EngineId | None = None
        self.is_moved = False


class JobSpans:
    """Hears what happens to jobs, and tells it of those that are traced. A new one goes on with the open jobs."""

    def __init__(self, open_jobs: Iterable[OpenJob] = ()) -> None:
        traced = [each.job for each in open_jobs if each.job.origin.trace] if spans.are_told() else []
        self._ways = {job.id: _Way(job, job.created_ms * _NS_PER_MS) for job in traced}

    def submitted(self, jobs: Iterable[Job]) -> None:
        """These begin now, as far as they have not before."""
        for job in jobs if spans.are_told() else ():
            if job.origin.trace and job.id not in self._ways:
                self._ways[job.id] = _Way(job, clock.wall_ns())

    def refused(self, job_ids: Iterable[JobId]) -> None:
        """There are no such jobs, or nobody knows how they ended."""
        for job_id in job_ids:
            self._ways.pop(job_id, None)

    def ordered(self, engine_id: EngineId, dispatches: Sequence[Dispatch]) -> None:
        """These go to this engine."""
        if not self._ways:
            return
        for dispatch in dispatches:
            if way := self._ways.get(dispatch.job.id):
                self._leave_engine(way, "lost before it was accepted")
                label = "move" if way.is_moved else "queue"
                self._tell(way, label, f"{label} {dispatch.attempt}", way.since_ns, clock.wall_ns())
                way.attempt, way.engine_id, way.since_ns = dispatch.attempt, engine_id, clock.wall_ns()

    def lost(self, attempts: Sequence[JobAttempt], why: Callable[[JobId], str]) -> None:
        """These are taken from their engines."""
        for job_id, attempt in attempts if self._ways else ():
            if (way := self._ways.get(job_id)) and way.attempt == attempt:
                self._leave_engine(way, why(job_id))

    def released(self, released: Iterable[Released]) -> None:
        """These have ended, durably, as their engines said."""
        if not self._ways:
            return
        for done in released:
            if way := self._ways.pop(done.job_id, None):
                self._end(way, "engine_error" if done.failed else "")

    def failed(self, failures: Iterable[Failure]) -> None:
        """These have ended, durably, for a reason found here."""
        if not self._ways:
            return
        for failure in failures:
            if way := self._ways.pop(failure.job_id, None):
                if way.engine_id is None:
                    label = "move" if way.is_moved else "queue"
                    self._tell(way, label, f"{label} in vain", way.since_ns, clock.wall_ns())
                self._leave_engine(way, failure.error)
                self._end(way, failure.error)

    def _leave_engine(self, way: _Way, why: str) -> None:
        """What its engine would have told: it does not come to its end there."""
        if way.engine_id is None:
            return
        job, now_ns = way.job, clock.wall_ns()
        where: dict[str, Attribute] = {"infernet.engine.id": way.engine_id, "infernet.attempt": way.attempt}
        place, parent = inference.place(job, way.attempt), traceparent.of_job(job.origin.trace, job.id)
        spans.tell(inference.name(job), place, parent, way.since_ns, now_ns, inference.asked(job) | where, why)
        way.engine_id, way.since_ns, way.is_moved = None, now_ns, True

    def _end(self, way: _Way, error: str) -> None:
        job = way.job
        attributes: dict[str, Attribute] = {
            "infernet.job.id": job.id,
            "infernet.model": job.asked_for,
            "infernet.attempts": way.attempt,
        }
        place = traceparent.of_job(job.origin.trace, job.id)
        spans.tell("job", place, job.origin.trace, way.began_ns, clock.wall_ns(), attributes, error)

    def _tell(self, way: _Way, name: str, label: str, began_ns: int, ended_ns: int) -> None:
        trace, job_id = way.job.origin.trace, way.job.id
        place, parent = traceparent.of_job(trace, job_id, label), traceparent.of_job(trace, job_id)
        spans.tell(name, place, parent, began_ns, ended_ns, {"infernet.job.id": job_id})
