"""The Ledger: sole writer of the database. What it has answered is durable."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from actors.batcher import Batcher
from cluster import clock
from cluster.ids import AccountId, JobId, KeyId
from cluster.keys import new_secret
from cluster.messages import Ended, Job, JobQuery, JobRecord, KeyLimits, OpenJob, Placed, Principal
from cluster.store import first_admin, jobs, keys, speeds, submissions
from cluster.store.database import Database, Query, Write

R = TypeVar("R")

_READERS = 4


class Ledger:
    """Accounts, keys, jobs, results and usage.

    Writes that arrive while a commit is under way gather and are committed together; one that fails does so
    alone. Reads do not wait for writes. Every method may raise `DatabaseUnavailable`: the caller may call
    again, because every write may be repeated.
    """

    def __init__(
        self,
        database_url: str,
        admin_key: str | None,
        default_limits: KeyLimits,
        now_ms: Callable[[], int] = clock.wall_ms,
    ) -> None:
        self._url = database_url
        self._admin_key = admin_key
        self._default_limits = default_limits
        self._now_ms = now_ms
        self._database: Database | None = None
        self._first_admin_key: str | None = None
        self._writes: Batcher[Write, None] = Batcher(self._commit)
        # One thread writes, because one at a time may; the others read, on connections of their own.
        self._writer = ThreadPoolExecutor(1, "ledger-writer")
        self._readers = ThreadPoolExecutor(_READERS, "ledger-reader")

    async def start(self) -> None:
        """Opens the database, brings its schema up to date, makes the first admin key if there is no key.

        Raises `StartError`. May be repeated; any other method does it where it has not been done, so that a
        restarted Ledger serves at once.
        """
        await _run(self._writer, self._open)

    async def stop(self) -> None:
        """Finishes the writes under way and closes the database. A stopped Ledger stays stopped."""
        await asyncio.to_thread(self._close)

    async def first_admin_key(self) -> str | None:
        """The secret of the admin key that this process made, once; None if it was given, or is not new."""
        await self._opened()
        secret, self._first_admin_key = self._first_admin_key, None
        return secret

    async def authenticate(self, key_hash: str) -> Principal | None:
        """The holder of the key with this hash; None if it is unknown, revoked or expired."""
        return await self._read(
            partial(keys.principal, key_hash=key_hash, now_ms=self._now_ms(), default=self._default_limits)
        )

    async def create(self, new: Sequence[Job]) -> None:
        """Records accepted jobs. One that is known is ignored."""
        await self._write(partial(jobs.create, jobs=new))

    async def placed(self, placements: Sequence[Placed]) -> None:
        """Records where jobs run. What has ended, and what a later attempt has overtaken, stays as it is."""
        await self._write(partial(jobs.place, placements=placements))

    async def finish(self, ended: Sequence[Ended]) -> None:
        """Records results and usage together, once per job however often it is called: the first end wins."""
        await self._write(partial(jobs.finish, ended=ended))

    async def job(self, job_id: JobId, account_id: AccountId) -> JobRecord | None:
        """The job; None if there is none, or it is another account's."""
        return await self._read(partial(jobs.record, job_id=job_id, account_id=account_id))

    async def jobs(self, account_id: AccountId, query: JobQuery) -> list[JobRecord]:
        """The account's jobs that `query` asks for, newest first."""
        return await self._read(partial(jobs.records, account_id=account_id, query=query))

    async def open_jobs(self) -> list[OpenJob]:
        """All jobs that have not ended, in the order of their creation."""
        return await self._read(jobs.open_jobs)

    async def submission_counts(self, now_ms: int) -> dict[KeyId, tuple[int, int]]:
        """Per key: the jobs created in the clock's current minute and hour. Refused requests left no job."""
        return await self._read(partial(submissions.counts, now_ms=now_ms))

    async def speeds(self) -> dict[str, int]:
        """Per model: output tokens per second of generation, averaged over its last 32 completed jobs."""
        return await self._read(speeds.averages)

    async def _read(self, query: Query[R]) -> R:
        database = await self._opened()
        return await _run(self._readers, partial(database.read, query))

    async def _write(self, write: Write) -> None:
        await self._writes.add(write)

    async def _commit(self, writes: list[Write]) -> Sequence[Exception | None]:
        database = await self._opened()
        return await _run(self._writer, partial(database.commit, writes))

    async def _opened(self) -> Database:
        if self._database is None:
            await self.start()
        assert self._database is not None
        return self._database

    def _open(self) -> None:
        # On the writer's only thread, so that two who start at once open one database.
        if self._database is not None:
            return
        database = Database(self._url)
        if not database.read(keys.any_exists):
            self._add_first_admin(database)
        self._database = database

    def _add_first_admin(self, database: Database) -> None:
        secret = self._admin_key or new_secret()
        add = partial(first_admin.add, secret=secret, now_ms=self._now_ms())
        for error in database.commit([add]):
            if error is not None:
                raise error
        self._first_admin_key = None if self._admin_key else secret

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        if self._database is not None:
            self._database.close()


async def _run(threads: Executor, call: Callable[[], R]) -> R:
    return await asyncio.get_running_loop().run_in_executor(threads, call)
