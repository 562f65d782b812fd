"""Jobs that are removed: one by one, and when they ended too long ago."""

import asyncio
import logging
from functools import partial

from actors.bookkeeping.book import Book
from actors.bookkeeping.desk import Desk
from actors.wire.every import Every
from cluster.errors import DatabaseFailed
from cluster.ids import AccountId, JobId
from cluster.store import removal
from cluster.store.usage_days import DAY_MS

logger = logging.getLogger(__name__)


class RemovalBook(Book):
    """What is removed of jobs: all but what they used."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        every_s = desk.timing.prune_jobs_s
        desk.database.repeat(Every(every_s, self.prune_jobs, "removing jobs that ended too long ago"))

    async def remove(self, job_id: JobId, account_id: AccountId | None) -> None:
        """Removes this ended job, but for what it used; with an account, only one of its jobs. A removed one stays so.

        Raises Conflict for one that has not ended, and JobNotFound.
        """
        await self._write(partial(removal.remove, job_id=job_id, account_id=account_id))
        self._desk.leftovers.note()

    async def prune_jobs(self) -> None:
        """Removes all jobs that ended too long ago, and has the database hold nothing any more of any removed one.

        What cannot be done now is done the next time.
        """
        days = self._desk.retention_days
        try:
            if days is not None:
                await self._prune_before(self._now_ms() - days * DAY_MS)
            await self._desk.leftovers.clear()
        except DatabaseFailed as error:
            logger.warning("jobs that ended too long ago were not removed, and will be later: %s", error)

    async def _prune_before(self, before_ms: int) -> None:
        """In turns, between which others write."""
        turn = partial(removal.prune, before_ms=before_ms, turn_s=self._timing.prune_turn_s, clock=self._clock)
        while True:
            pruned = await self._write(turn)
            if pruned.jobs > 0:
                self._desk.leftovers.note()
            if not pruned.may_be_more:
                return
            await asyncio.sleep(self._timing.prune_pause_s)
