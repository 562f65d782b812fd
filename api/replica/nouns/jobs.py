"""Jobs as routes ask for them: with an account, only that one's; without, everybody's, for an admin."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from api.replica.asking import ask
from api.replica.streams import StreamHub
from cluster.catalogue import Catalogue
from cluster.errors import Conflict, JobCancelled, JobNotFound
from cluster.ids import AccountId, JobId
from cluster.messages.explanations import Explanation, Moment
from cluster.messages.records import FailedRecord, JobPage, JobQuery, JobRecord
from cluster.messages.work import Job
from cluster.timeline import timeline

if TYPE_CHECKING:
    from actors.journal import Journal
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler


class Course(NamedTuple):
    """Why a job runs where it runs, and what became of it, as far as it is known now; `away` did not answer."""

    explanation: Explanation
    moments: Sequence[Moment]
    away: Sequence[str]


class Jobs:
    """Jobs that have been accepted. What accepts them is `Intake`, and what tells their text, `StreamHub`."""

    def __init__(
        self,
        catalogue: Catalogue,
        ledger: "Ledger",
        scheduler: "Scheduler",
        journal: "Journal",
        streams: StreamHub,
        health_s: float,
    ) -> None:
        """For what a course can do without, it waits no longer than `health_s`."""
        self._health_s = health_s
        self._catalogue = catalogue
        self._ledger = ledger
        self._scheduler = scheduler
        self._journal = journal
        self._streams = streams

    async def get(self, job_id: JobId, account_id: AccountId | None) -> JobRecord:
        """Raises JobNotFound, for another account's job too."""
        record = await self._ledger.job(job_id, account_id)
        if record is None:
            raise JobNotFound("No such job")
        return record

    async def get_within(self, job_id: JobId, account_id: AccountId | None, seconds: int) -> JobRecord:
        """The job as soon as it has ended, or as it is after this time. Raises JobNotFound."""
        record = await self.get(job_id, account_id)
        if record.status.ended or seconds == 0:
            return record
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._streams.until_end(record.id, record.account_id)
        return await self.get(job_id, account_id)

    async def asked(self, job_id: JobId, account_id: AccountId | None) -> Job:
        """The job as it was accepted: what was asked, and how. Raises JobNotFound, for another account's job too."""
        job = await self._ledger.asked(job_id, account_id)
        if job is None:
            raise JobNotFound("No such job")
        return job

    async def page(self, account_id: AccountId | None, query: JobQuery) -> JobPage:
        """The account's jobs, or everybody's, newest first. The model may be named by an alias."""
        if query.model is not None:
            query = replace(query, model=self._catalogue.id_of(query.model))
        return await self._ledger.jobs(account_id, query)

    async def cancel(self, job_id: JobId, account_id: AccountId | None) -> JobRecord:
        """The job, cancelled. Raises JobNotFound, and Conflict when it ended otherwise before."""
        record = await self.get(job_id, account_id)
        if not record.status.ended:
            await self._scheduler.cancel(record.id)
            record = await self.get(job_id, account_id)
            if isinstance(record, FailedRecord) and record.error == JobCancelled.code:
                return record
        raise Conflict(f"Job {job_id} has ended already")

    async def cancel_if_unread(self, job_id: JobId) -> None:
        """Cancel a job whose client has gone, unless it has ended or somebody still reads it, at whichever replica."""
        if await self._streams.unread(job_id):
            await self._scheduler.cancel(job_id)

    async def remove(self, job_id: JobId, account_id: AccountId | None) -> None:
        """Remove an ended job; one that has been removed stays so. Raises JobNotFound, and Conflict for an open one."""
        await self._ledger.remove(job_id, account_id)

    async def placement(self, job_id: JobId, account_id: AccountId | None) -> Explanation:
        """Why the job runs where it runs, or waits. Raises JobNotFound."""
        record = await self.get(job_id, account_id)
        attempts = await self._ledger.placements(record.id)
        standing = None if record.status.ended else await self._scheduler.explain(record.id)
        return Explanation(record.id, tuple(attempts), standing)

    async def timeline(self, job_id: JobId, account_id: AccountId | None) -> Sequence[Moment]:
        """What became of the job, in its order. Raises JobNotFound."""
        record = await self.get(job_id, account_id)
        attempts = await self._ledger.placements(record.id)
        heard = () if record.status.ended else await self._journal.heard(record.id)
        return timeline(record, attempts, heard)

    async def course(self, record: JobRecord) -> Course:
        """What `placement` and `timeline` tell of this job, as far as those who know it answer promptly."""
        attempts = await self._ledger.placements(record.id)
        if record.status.ended:
            return Course(Explanation(record.id, tuple(attempts), None), timeline(record, attempts, ()), ())
        asked = {"scheduler": self._scheduler.explain(record.id), "journal": self._journal.heard(record.id)}
        answers, away = await ask(asked, self._health_s)
        explanation = Explanation(record.id, tuple(attempts), answers.get("scheduler"))
        return Course(explanation, timeline(record, attempts, answers.get("journal", ())), away)
