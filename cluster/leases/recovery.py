"""The jobs of the Ledger that nobody here knows of: after a restart, and when a notice was lost. Pure."""

from collections.abc import Iterable, Sequence

from cluster.ids import EngineId, JobId
from cluster.leases.actions import Action, Forget, per_engine
from cluster.leases.losses import Losses
from cluster.leases.places import Begun, Leased, Lost, Places, Recovering, Unconfirmed
from cluster.messages.work import JobAttempt, OpenAttempt, OpenJob
from cluster.queue import Waiting


class Recovery:
    """Moves jobs from `Recovering`, and takes up strays: jobs that the Ledger has open and nobody works on."""

    def __init__(self, places: Places, losses: Losses, stray_ms: int) -> None:
        self._places = places
        self._losses = losses
        self._stray_ms = stray_ms
        self._missed: set[JobId] = set()
        self._recovering = False
        # The jobs from before a restart that have not come to wait or to an engine yet.
        self._away: set[JobId] = set()

    def begin(self, open_jobs: Iterable[OpenJob]) -> None:
        """These jobs are from before a restart. Engines may still work on them."""
        for open_job in open_jobs:
            self._places.put(open_job.job.id, Recovering(open_job))
            self._recovering = True
            self._away.add(open_job.job.id)

    def reclaim(self, engine_id: EngineId, running: JobAttempt, tokens: int, now_s: float) -> bool:
        """Lease a job from before a restart to the engine that has gone on with it, to so many tokens."""
        job_id, attempt = running
        place = self._places.get(job_id)
        if not isinstance(place, Recovering) or attempt < place.open_job.attempt:
            return False
        self._places.reclaim(Leased(Waiting(place.open_job.job, attempt), engine_id, now_s), tokens)
        return True

    def settle(self) -> None:
        """Every engine has had its time: the jobs that none has gone on with are lost."""
        if self._recovering:
            self._recovering = False
            places = [place for _, place in self._places if isinstance(place, Recovering)]
            self._losses.unclaimed([Waiting(place.open_job.job, place.open_job.attempt) for place in places])

    def recovered(self) -> bool:
        """Whether the jobs from before a restart have come back, all of them by now."""
        if self._recovering or not self._away:
            return False
        self._away = {job_id for job_id in self._away if isinstance(self._places.get(job_id), Recovering | Lost)}
        return not self._away

    # Compared with the Ledger, again and again ------------------------------------------------------------------

    def durable(self) -> set[JobId]:
        """The jobs here that the Ledger has."""
        return {job_id for job_id, place in self._places if not isinstance(place, Unconfirmed | Begun)}

    def strays(self, open_attempts: Iterable[OpenAttempt], now_ms: int) -> list[JobId]:
        """Those of these open jobs that are nowhere here, and have been for a while.

        Either their notice of acceptance was lost, or that of their end: a commit whose answer did not come, a call to
        a process that died. One that looks young by a clock which is ahead is taken at the second look.
        """
        missed = {job_id: created_ms for job_id, _, created_ms in open_attempts if job_id not in self._places}
        before, self._missed = self._missed, set(missed)
        old_ms = now_ms - self._stray_ms
        return [job_id for job_id, created_ms in missed.items() if created_ms <= old_ms or job_id in before]

    def take_up(self, open_jobs: Sequence[OpenJob]) -> list[OpenJob]:
        """These strays are still open: they go on. Returns those that were not found a place meanwhile."""
        strays = [open_job for open_job in open_jobs if open_job.job.id not in self._places]
        self._losses.unclaimed([Waiting(stray.job, stray.attempt) for stray in strays])
        return strays

    def drop(self, job_ids: Iterable[JobId]) -> list[Action]:
        """These jobs have ended, by the Ledger: the notice of it was lost. Engines that work on them forget them."""
        forgotten: list[tuple[EngineId, JobAttempt]] = []
        for job_id in job_ids:
            place = self._places.remove(job_id)
            if isinstance(place, Leased):
                forgotten.append((place.engine_id, (job_id, place.waiting.attempt)))
        return [Forget(*forget) for forget in per_engine(forgotten)]
