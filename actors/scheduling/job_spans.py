"""The spans of jobs between their submission and their end: the job, its time in the queue, its moves."""

from collections.abc import Callable, Iterable, Sequence

from actors.telemetry import inference, spans
from actors.telemetry.spans import Attribute
from cluster import clock, traceparent
from cluster.errors import EngineFailed
from cluster.ids import EngineId, JobId
from cluster.messages.work import Dispatch, Failure, Job, JobAttempt, OpenJob, Released

_NS_PER_MS = 1_000_000


class _Way:
    """A job's way so far: since when it waits, or runs as `attempt` in `engine_id`, which may not be known."""

    __slots__ = ("attempt", "began_ns", "engine_id", "job", "runs", "since_ns")

    def __init__(self, job: Job, began_ns: int, attempt: int = 0) -> None:
        self.job = job
        self.began_ns = self.since_ns = began_ns
        self.attempt = attempt
        self.runs = attempt > 0
        self.engine_id: EngineId | None = None


class JobSpans:
    """Hears what happens to jobs, and tells it of those that are traced. A new one goes on with the open jobs."""

    def __init__(self, open_jobs: Iterable[OpenJob] = ()) -> None:
        traced = [each for each in open_jobs if each.job.origin.trace] if spans.are_told() else []
        self._ways = {each.job.id: _Way(each.job, each.job.created_ms * _NS_PER_MS, each.attempt) for each in traced}

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
        for dispatch in dispatches if self._ways else ():
            if way := self._ways.get(dispatch.job.id):
                self._leave_engine(way, "lost before it was accepted")
                self._stop_waiting(way)
                way.attempt, way.engine_id, way.runs, way.since_ns = dispatch.attempt, engine_id, True, clock.wall_ns()

    def lost(self, attempts: Sequence[JobAttempt], why: Callable[[JobId], str]) -> None:
        """These are taken from their engines."""
        for job_id, attempt in attempts if self._ways else ():
            if (way := self._ways.get(job_id)) and way.attempt == attempt:
                self._leave_engine(way, why(job_id))

    def released(self, released: Iterable[Released], is_ending: Callable[[JobId], bool]) -> None:
        """These have ended, durably, as their engines said. Those that end for a reason found here come as failed."""
        for done in released if self._ways else ():
            if done.job_id in self._ways and not is_ending(done.job_id):
                self._end(self._ways.pop(done.job_id), EngineFailed.code if done.failed else "")

    def failed(self, failures: Iterable[Failure]) -> None:
        """These have ended, durably, for a reason found here."""
        for failure in failures if self._ways else ():
            if way := self._ways.pop(failure.job_id, None):
                if way.runs:
                    self._leave_engine(way, failure.error)
                else:
                    self._stop_waiting(way)
                self._end(way, failure.error)

    def _leave_engine(self, way: _Way, why: str) -> None:
        """What its engine would have told: it does not come to its end there."""
        if not way.runs:
            return
        job, now_ns = way.job, clock.wall_ns()
        where: dict[str, Attribute] = {"infernet.attempt": way.attempt}
        if way.engine_id is not None:
            where["infernet.engine.id"] = way.engine_id
        place, parent = inference.place(job, way.attempt), traceparent.of_job(job.origin.trace, job.id)
        spans.tell(inference.name(job), place, parent, way.since_ns, now_ns, inference.asked(job) | where, why)
        way.engine_id, way.runs, way.since_ns = None, False, now_ns

    def _stop_waiting(self, way: _Way) -> None:
        """It has waited for its first engine, or for another one."""
        name, job_id, trace = "move" if way.attempt else "queue", way.job.id, way.job.origin.trace
        place, parent = traceparent.of_job(trace, job_id, f"{name} {way.attempt}"), traceparent.of_job(trace, job_id)
        spans.tell(name, place, parent, way.since_ns, clock.wall_ns(), {"infernet.job.id": job_id})

    def _end(self, way: _Way, error: str) -> None:
        job = way.job
        attributes: dict[str, Attribute] = {
            "infernet.job.id": job.id,
            "infernet.model": job.asked_for,
            "infernet.attempts": way.attempt,
        }
        place = traceparent.of_job(job.origin.trace, job.id)
        spans.tell("job", place, job.origin.trace, way.began_ns, clock.wall_ns(), attributes, error)
