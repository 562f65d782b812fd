"""The Ledger's database in an event loop: opened when it is needed, on threads, and every call with a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import TypeVar, cast

from actors.wire.batcher import Batcher
from actors.wire.every import Every
from actors.wire.outage import Outage
from cluster.clock import Clock
from cluster.errors import DatabaseFailed, DatabaseUnavailable, StartError
from cluster.store import owner
from cluster.store.database import Database, Query, Write
from cluster.store.open import CONNECTIONS
from cluster.timing import Timing

R = TypeVar("R")


class Commits:
    """What the commits of this process came to, in all."""

    def __init__(self) -> None:
        self.count = 0
        self.writes = 0
        self.seconds = 0.0


class Access:
    """Writes that arrive while a commit is under way gather and are committed together. Reads do not wait for writes.

    `prepare` is called once with the database that has just been opened, and what is to be repeated begins. A call that
    the database leaves without an answer raises `DatabaseUnavailable` in time, and the connection that it waits on is
    given up, so that no thread is lost to it. That a database is away is logged when it begins, now and then, and when
    it is over.
    """

    def __init__(self, url: str, prepare: Callable[[Database], None], clock: Clock, timing: Timing) -> None:
        self._url = url
        self._prepare = prepare
        self._clock = clock
        self._timing = timing
        self.commits = Commits()
        self._database: Database | None = None
        self._opening: asyncio.Task[None] | None = None
        # One thread writes, because one at a time may; the others read, on connections of their own.
        self._writer = ThreadPoolExecutor(1, "ledger-writer")
        self._readers = ThreadPoolExecutor(CONNECTIONS - 1, "ledger-reader")
        self._keeper = ThreadPoolExecutor(1, "ledger-keeper")
        self._threads = (self._writer, self._readers, self._keeper)
        self._commits: Batcher[Write[object], object] = Batcher(self._commit)
        self._reading = Outage("reading from the database", clock)
        self._writing = Outage("writing to the database", clock)
        self._keeping = Outage("keeping the database", clock)
        self._cutting = Every(timing.database_look_s, self._cut, "looking for calls without an answer")
        self._holding = Every(timing.ownership_look_s, self._keep, "making sure of the database")
        self._repeated: list[Every] = []

    def repeat(self, step: Every) -> None:
        """Has this step taken again and again, once the database has been opened."""
        self._repeated.append(step)

    async def open(self) -> None:
        """Raises `StartError`. May be repeated; the other methods do it where it has not been done."""
        await self._opened_once()

    async def opened(self) -> Database:
        """Raises `DatabaseUnavailable`."""
        try:
            return await self._opened_once()
        except StartError as error:
            raise DatabaseUnavailable(error.message) from None

    async def read(self, query: Query[R]) -> R:
        """What `query` answers. Raises `DatabaseFailed`."""
        return await self._in_time(self._read(query), self._reading)

    async def write(self, write: Write[R]) -> R:
        """What `write` answers, once it is durable. Raises `DatabaseFailed`, and what `write` refuses it with."""
        return cast(R, await self._in_time(self._commits.add(write), self._writing))

    async def forget(self) -> bool:
        """Has the database hold nothing any more of what has been removed. Whether it does; else it is to be repeated.

        Raises `DatabaseFailed`.
        """
        database = await self.opened()
        return await self._in_time(_run(self._writer, database.forget), self._writing)

    async def ready(self) -> None:
        """Raises what a write would raise now, `DatabaseFailed`."""
        failed_s, error = self._writing.failed_s, self._writing.error
        if error is not None and failed_s is not None and self._age_s(failed_s) < self._timing.database_failed_s:
            raise DatabaseUnavailable(str(error))
        await self._require_room()
        succeeded_s = self._writing.succeeded_s
        if error is None and succeeded_s is not None and self._age_s(succeeded_s) < self._timing.database_sure_s:
            return
        await self.write(partial(owner.touch, now_ms=self._clock.wall_ms()))

    def rest(self) -> None:
        """Nothing that was to be repeated is done any more."""
        for step in self._repeated:
            step.stop()

    async def close(self) -> None:
        """Finishes the writes under way and lets go of the database. What is closed stays closed."""
        self.rest()
        self._holding.stop()
        await asyncio.to_thread(self._close)
        self._stop_all_steps()

    async def abandon(self) -> None:
        """Lets go of the database with nothing finished: what the death of this process does."""
        self._stop_all_steps()
        for threads in self._threads:
            threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._keeper.shutdown)  # it might take the lock again
        if self._database is not None:
            self._database.close()

    async def _require_room(self) -> None:
        database = await self.opened()
        try:
            database.require_room()
        except DatabaseUnavailable as error:
            self._keeping.failed(error)
            raise

    def _age_s(self, moment_s: float) -> float:
        return self._clock.monotonic_s() - moment_s

    async def _read(self, query: Query[R]) -> R:
        database = await self.opened()
        return await _run(self._readers, partial(database.read, query))

    async def _commit(self, writes: list[Write[object]]) -> Sequence[object]:
        database = await self.opened()
        begun_s = self._clock.monotonic_s()
        answers = await _run(self._writer, partial(database.commit, writes))
        self.commits.count += 1
        self.commits.writes += len(writes)
        self.commits.seconds += self._clock.monotonic_s() - begun_s
        return answers

    async def _in_time(self, call: Awaitable[R], outage: Outage) -> R:
        try:
            async with asyncio.timeout(self._timing.database_s):
                answer = await call
        except TimeoutError:
            late = DatabaseUnavailable(f"no answer within {self._timing.database_s:g} s")
            outage.failed(late)
            raise late from None
        except DatabaseFailed as error:
            outage.failed(error)
            raise
        outage.succeeded()
        return answer

    async def _opened_once(self) -> Database:
        if self._database is None:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(_run(self._writer, self._open))
                self._opening.add_done_callback(_retrieved)
            # Not cancelled with whoever is tired of waiting: a schema may take long to be brought up to date.
            await asyncio.shield(self._opening)
            for step in self._all_steps():
                step.start()
        assert self._database is not None
        return self._database

    def _open(self) -> None:
        database = Database(self._url, self._clock, self._timing.ownership_wait_s)
        try:
            self._prepare(database)
        except BaseException:
            database.close()
            raise
        self._database = database

    async def _cut(self) -> None:
        if self._database is not None:
            self._database.cut(self._timing.database_silence_s)

    async def _keep(self) -> None:
        if self._database is None:
            return
        try:
            await _run(self._keeper, self._database.keep)
        except DatabaseFailed as error:
            self._keeping.failed(error)
        else:
            self._keeping.succeeded()

    def _all_steps(self) -> Sequence[Every]:
        return (self._cutting, self._holding, *self._repeated)

    def _stop_all_steps(self) -> None:
        for step in self._all_steps():
            step.stop()

    def _close(self) -> None:
        for threads in self._threads:
            threads.shutdown()
        if self._database is not None:
            self._database.close()


async def _run(threads: Executor, call: Callable[[], R]) -> R:
    return await asyncio.get_running_loop().run_in_executor(threads, call)


def _retrieved(opening: asyncio.Task[None]) -> None:
    """Everybody who waited for it may have left."""
    if not opening.cancelled():
        opening.exception()
