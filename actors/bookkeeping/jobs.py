"""Jobs, from their submission to their end."""

import logging
from collections.abc import Sequence
from functools import partial

from actors.bookkeeping.book import Book
from actors.machine.log_lines import about, about_job
from actors.telemetry import spans
from cluster.errors import BudgetExceeded, InfernetError, Superseded
from cluster.ids import AccountId, JobId
from cluster.liveness.roles import JOURNAL_ROLE
from cluster.messages.placements import Placed
from cluster.messages.records import EndedRecord, JobPage, JobQuery, JobRecord
from cluster.messages.work import Accepted, Ended, Idempotency, Job, OpenAttempt, OpenJob, Submission
from cluster.store import idempotency, job_search, jobs, placements, submissions

logger = logging.getLogger(__name__)

# So many jobs are read at once, however many there are: each may be a megabyte.
_PAGE = 500


class JobBook(Book):
    """Jobs with their results, where they ran, and what they have of budgets."""

    async def create(self, new: Sequence[Submission], begun: Sequence[Placed] = ()) -> list[Accepted | InfernetError]:
        """Per submission the job that it became, now or before, or what refuses it: Conflict, BudgetExceeded.

        What a job may consume at most is reserved of its budgets with that, once however often this is called. `begun`
        is where some of them run already.
        """
        listening = self._desk.listeners.accounts
        with spans.of_jobs("ledger write", spans.SUBMIT, ((each.job.id, each.job.origin) for each in new)):
            accept = partial(submissions.accept, submissions=new, begun=begun, now_ms=self._now_ms())
            answers = await self._write(partial(accept, listening=listening))
        if listening and any(isinstance(answer, BudgetExceeded) for answer in answers):
            self._desk.listeners.notify()
        for each in new:
            logger.debug("is written down", extra=about_job(each.job))
        return answers

    async def over_budget(self, submissions_: Sequence[Submission]) -> dict[JobId, BudgetExceeded]:
        """Those of these jobs that their budgets have no room for now, each looked at alone."""
        return await self._read(partial(submissions.over_budget, submissions=submissions_, now_ms=self._now_ms()))

    async def repeated(self, account_id: AccountId, idempotency_: Idempotency) -> Accepted | None:
        """The job submitted before under this idempotency key. Raises Conflict when its body was another one."""
        now_ms = self._now_ms()
        return await self._read(partial(idempotency.repeated, account_id=account_id, asked=idempotency_, now_ms=now_ms))

    async def placed(self, placed: Sequence[Placed]) -> None:
        """Records where jobs run. What has ended, and what a later attempt has overtaken, stays as it is."""
        await self._write(partial(jobs.place, placed=placed))

    async def finish(self, ended: Sequence[Ended], journal: str | None = None) -> dict[JobId, EndedRecord]:
        """Records results, usage and what budgets spend together, once per job: the first end wins.

        Answers how those ended that had ended before. Raises Superseded when `journal` is not the Journal any more:
        what it remembers may be older than what another one has told.
        """
        if journal is not None and not self._desk.roles.hold(JOURNAL_ROLE, journal, begins=False):
            raise Superseded("another Journal has begun")
        listening = self._desk.listeners.accounts
        with spans.of_jobs("ledger write", spans.END, ((each.job_id, each.origin) for each in ended)):
            billed, before = await self._write(partial(jobs.finish, ended=ended, listening=listening))
        for end in ended:
            logger.debug("its end is written down", extra=about(end.job_id, end.origin))
        if any(each.account_id in listening for each in billed):
            self._desk.listeners.notify()
        return before

    async def job(self, job_id: JobId, account_id: AccountId | None) -> JobRecord | None:
        """The job; None if there is none, or it is another account's than the one named."""
        return await self._read(partial(jobs.record, job_id=job_id, account_id=account_id))

    async def asked(self, job_id: JobId, account_id: AccountId | None) -> Job | None:
        """The job as it was accepted; None if there is none, or it is another account's than the one named."""
        return await self._read(partial(jobs.asked, job_id=job_id, account_id=account_id))

    async def jobs(self, account_id: AccountId | None, query: JobQuery) -> JobPage:
        """The account's jobs that `query` asks for, or everybody's, newest first."""
        return await self._read(partial(job_search.search, account_id=account_id, query=query, clock=self._clock))

    async def open_jobs(self, job_ids: Sequence[JobId] | None = None) -> list[OpenJob]:
        """All jobs that have not ended, or those of these, in the order of their creation.

        No limit is on how long this takes in all.
        """
        found: list[OpenJob] = []
        after = (-1, JobId(""))
        while True:
            page = await self._read(partial(jobs.open_jobs, after=after, limit=_PAGE, job_ids=job_ids))
            found += page
            if len(page) < _PAGE:
                return found
            after = (page[-1].job.created_ms, page[-1].job.id)

    async def open_attempts(self) -> list[OpenAttempt]:
        """Of all jobs that have not ended: the id, the last attempt recorded and when the job was created."""
        return await self._read(jobs.open_attempts)

    async def placements(self, job_id: JobId) -> list[Placed]:
        """Every attempt to run this job, in their order."""
        return await self._read(partial(placements.of_job, job_id=job_id))
