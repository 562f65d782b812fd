"""Jobs that fail for a reason found outside their engine, until that is durable. Pure."""

from collections.abc import Iterable, Sequence

from cluster.errors import InfernetError
from cluster.ids import EngineId, JobId
from cluster.leases.actions import Abort, Action, Fail, Forget, per_engine
from cluster.leases.places import Begun, Ending, Leased, Places
from cluster.messages.work import Failure, JobAttempt
from cluster.queue import Waiting


class Endings:
    """Moves jobs to `Ending`, and has the Journal told again until it has made their ends durable."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._untold: list[JobId] = []

    def begin(self, waiting: Iterable[Waiting], error: InfernetError) -> list[Action]:
        """These jobs end with this error. Engines that work on them stop, and keep what they have."""
        stopping: list[tuple[EngineId, JobAttempt]] = []
        failures = []
        for each in waiting:
            place, failure = self._places.get(each.job.id), _failure(each, error)
            engine_id = place.engine_id if isinstance(place, Begun | Leased) else None
            self._places.put(each.job.id, Ending(failure, engine_id))
            failures.append(failure)
            if engine_id is not None:
                stopping.append((engine_id, (each.job.id, each.attempt)))
        return [*(Abort(*abort) for abort in per_engine(stopping)), Fail(failures)] if failures else []

    def durable(self, failures: Sequence[Failure]) -> list[Action]:
        """These ends are durable, or the jobs had ended before. Their engines may forget them."""
        forgotten: list[tuple[EngineId, JobAttempt]] = []
        for failure in failures:
            place = self._places.get(failure.job_id)
            if isinstance(place, Ending):
                self._places.remove(failure.job_id)
                if place.engine_id is not None:
                    forgotten.append((place.engine_id, place.attempt))
        return [Forget(*forget) for forget in per_engine(forgotten)]

    def not_told(self, failures: Sequence[Failure]) -> None:
        """The Journal could not be told of these, or could not answer."""
        self._untold += [failure.job_id for failure in failures]

    def repeat(self) -> list[Action]:
        """Tell the Journal again of the ends that it could not be told of."""
        places, self._untold = [self._places.get(job_id) for job_id in self._untold], []
        failures = [place.failure for place in places if isinstance(place, Ending)]
        return [Fail(failures)] if failures else []


def _failure(waiting: Waiting, error: InfernetError) -> Failure:
    return Failure(waiting.job.id, error.code, error.message, waiting.attempt, waiting.resume, waiting.job.origin)
