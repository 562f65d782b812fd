"""By when each job has to end: its deadline, and later where it had to wait for its model to start. Pure."""

from collections.abc import Collection, Iterable, Iterator

from cluster.catalogue import Model
from cluster.ids import JobId
from cluster.leases.deadlines import Deadlines
from cluster.leases.places import Places
from cluster.leases.starts import Starts
from cluster.messages.work import Job


class TimeLimits:
    """Tells which of the jobs in `places` have had their time."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._deadlines = Deadlines()
        self._starts = Starts()

    def keep(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._deadlines.keep(job.id, job.deadline_ms)

    def passed(self, starting: Collection[Model], now_ms: int) -> Iterator[JobId]:
        """The jobs that have had their time, each told once. The models have no engine yet but one that starts."""
        self._starts.note(starting, now_ms)
        for job_id in self._deadlines.passed(now_ms):
            waiting = self._places.waiting(job_id)
            if waiting is None:
                continue
            if (due_ms := self._starts.due_ms(waiting.job)) > now_ms:
                self._deadlines.keep(job_id, due_ms)
            else:
                yield job_id
