"""A PostgreSQL that is frozen, silent, locked, restarted or taken by another system, under the real Ledger."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from actors.database.access import Access
from actors.ledger import Ledger
from actors.wire.every import Every
from cluster.clock import SYSTEM_CLOCK
from cluster.errors import ConnectionLost, DatabaseTaken, DatabaseUnavailable, StartError
from cluster.messages.work import Job, Submission
from cluster.store import jobs, migrations, submissions
from cluster.store.database import Database, Write
from cluster.timing import Timing
from tests.support.ledger_stage import DEFAULT, NOW, accepted, completed, create, job, placed
from tests.support.plain_system import until
from tests.support.postgres import PostgresServer, plain, rows
from tests.support.proxy import Proxy

PROMISED_S = 10.0
"""So soon a submission is answered, whatever the database does."""

SOON = Timing(database_s=3.0, database_silence_s=0.5, database_look_s=0.05, ownership_wait_s=0.2, ownership_look_s=0.05)
"""Everything in fractions of a second but the limit on a whole call."""


@asynccontextmanager
async def running(url: str, timing: Timing = SOON) -> AsyncIterator[Ledger]:
    ledger = Ledger(url, None, DEFAULT, SYSTEM_CLOCK, timing)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()


def run(scenario: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await scenario

    asyncio.run(main())


async def refused_in_time(calls: Sequence[Awaitable[object]], within_s: float = PROMISED_S) -> None:
    """All of these raise `DatabaseUnavailable`, and not too late."""
    began_s = time.monotonic()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * len(answers), answers
    assert time.monotonic() - began_s < within_s


def many(ledger: Ledger) -> list[Awaitable[object]]:
    """More calls than there are threads."""
    return [*(create(ledger, job()) for _ in range(20)), *(ledger.open_jobs() for _ in range(20))]


async def well(ledger: Ledger) -> None:
    """Reads and writes work, on every thread."""
    await asyncio.gather(*many(ledger))
    await ledger.ready()


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> str:
    before, _, database = url.rpartition("/")
    return f"{before.rpartition(':')[0]}:{proxy.port}/{database}"


# Away -----------------------------------------------------------------------------------------------------------------


def test_a_frozen_server_is_told_of_in_time_and_all_is_well_when_it_goes_on(
    server: PostgresServer, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with running(place, Timing()) as ledger:
            await well(ledger)
            with server.frozen():
                await refused_in_time(many(ledger))
                # Connections are taken by the kernel, and nobody speaks on them.
                await refused_in_time([*many(ledger), ledger.ready()])
            began_s = time.monotonic()
            await well(ledger)
            assert time.monotonic() - began_s < 5

    with caplog.at_level(logging.WARNING):
        run(scenario())
    told = [record.message for record in caplog.records if "database" in record.message]
    assert any("no answer within 8 s" in line for line in told)
    assert any("works again" in line for line in told)
    assert len(told) < 12


def test_connections_that_stay_mute_are_given_up(proxy: Proxy, place: str) -> None:
    async def scenario() -> None:
        async with running(through(proxy, place)) as ledger:
            await well(ledger)
            proxy.fall_silent()
            await refused_in_time(many(ledger))
            proxy.pass_on_again()
            # What connects now may have begun while nothing passed.
            await until(partial(_works, ledger), "a Ledger that works")
            await well(ledger)

    run(scenario())


async def _works(ledger: Ledger) -> bool:
    try:
        await well(ledger)
    except DatabaseUnavailable:
        return False
    return True


def test_connections_that_fell_silent_while_nobody_used_them_cost_no_call(proxy: Proxy, place: str) -> None:
    async def scenario() -> None:
        async with running(through(proxy, place)) as ledger:
            await well(ledger)
            proxy.fall_silent()
            proxy.pass_on_again()
            await well(ledger)

    run(scenario())


def test_a_locked_table_is_told_of_in_time(place: str) -> None:
    async def scenario() -> None:
        async with running(place, Timing()) as ledger:
            with psycopg.connect(plain(place)) as other:
                other.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
                await refused_in_time([create(ledger, job()), ledger.open_jobs()])
                other.rollback()
            await well(ledger)

    run(scenario())


def test_the_url_may_set_other_limits(place: str) -> None:
    async def scenario() -> None:
        async with running(f"{place}?options=-c%20lock_timeout%3D50", Timing()) as ledger:
            with psycopg.connect(plain(place)) as other:
                other.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
                await refused_in_time([create(ledger, job())], within_s=2)

    run(scenario())


def test_a_query_without_an_end_keeps_no_thread(place: str) -> None:
    def sleep(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(60)"))

    async def nothing() -> None:
        pass

    async def scenario() -> None:
        access = Access(place, lambda _: None, SYSTEM_CLOCK, SOON)
        access.repeat(Every(60, nothing, "nothing"))
        await access.open()
        for _ in range(3):
            answers = await asyncio.gather(*(access.read(sleep) for _ in range(8)), return_exceptions=True)
            assert all(isinstance(answer, DatabaseUnavailable) for answer in answers)
        assert await access.read(lambda connection: connection.scalar(text("SELECT 1"))) == 1
        await access.close()

    run(scenario())


def test_a_ledger_stops_while_the_server_is_frozen(server: PostgresServer, place: str) -> None:
    async def scenario() -> None:
        ledger = Ledger(f"{place}?connect_timeout=2", None, DEFAULT, SYSTEM_CLOCK, SOON)
        await ledger.start()
        with server.frozen():
            waiting = [asyncio.ensure_future(call) for call in many(ledger)]
            await asyncio.sleep(0)
            began_s = time.monotonic()
            await ledger.stop()
            assert time.monotonic() - began_s < PROMISED_S
            await asyncio.gather(*waiting, return_exceptions=True)

    run(scenario())


# Broken connections ---------------------------------------------------------------------------------------------------


def end_sessions(place: str, which: str = "application_name = 'infernet'") -> None:
    """What a restart of the server, or an administrator, does to connections."""
    with psycopg.connect(plain(place)) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"  # type: ignore[call-overload]
            f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
        )


def test_connections_that_the_server_ends_cost_no_call(place: str) -> None:
    async def scenario() -> None:
        async with running(place) as ledger:
            for _ in range(5):
                await well(ledger)
                await asyncio.to_thread(end_sessions, place)

    run(scenario())


def test_a_commit_whose_answer_is_lost_is_made_once(proxy: Proxy, place: str) -> None:
    database, made = Database(through(proxy, place)), job()
    proxy.break_after(b"COMMIT")
    assert database.commit([submitted(made)]) == [[accepted(made)]]
    assert rows(place, "SELECT id FROM jobs") == [(made.id,)]
    proxy.break_after(b"COMMIT")
    database.commit([partial(jobs.finish, ended=[completed(made)])])
    assert rows(place, "SELECT job_id FROM usage") == [(made.id,)]
    assert proxy.broken == 2
    database.close()


def test_a_commit_whose_answer_is_lost_again_and_again_is_known_when_it_is_repeated(proxy: Proxy, place: str) -> None:
    database, made = Database(through(proxy, place)), job()
    proxy.break_after(b"COMMIT", times=2)
    with pytest.raises(ConnectionLost):
        database.commit([submitted(made)])
    assert database.commit([submitted(made)]) == [[accepted(made)]]
    assert rows(place, "SELECT id FROM jobs") == [(made.id,)]
    database.close()


def submitted(made: Job) -> Write[object]:
    return partial(submissions.accept, submissions=[Submission(made)], begun=(), now_ms=NOW)


def test_a_server_that_takes_no_writes_any_more_is_away(server: PostgresServer, place: str) -> None:
    """After a failover the address may be a standby's for a while. A batch is not taken apart over that."""

    async def scenario() -> None:
        async with running(place) as ledger:
            name = place.rpartition("/")[2]
            server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            end_sessions(place)
            await refused_in_time([create(ledger, job()), ledger.ready()])
            assert await ledger.open_jobs() == []
            server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            end_sessions(place)
            await create(ledger, job())

    run(scenario())


# One owner ------------------------------------------------------------------------------------------------------------

HOLDS_THE_LOCK = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"


def test_a_second_system_is_refused_at_its_start(place: str) -> None:
    async def scenario() -> None:
        async with running(place) as ledger:
            second = Ledger(place, None, DEFAULT, timing=SOON)
            with pytest.raises(StartError, match="Another system uses the database") as refusal:
                await second.start()
            assert "\n" not in refusal.value.message
            await second.stop()
            await well(ledger)
        async with running(place) as after:
            await well(after)

    run(scenario())


def every_write(ledger: Ledger, known: Job) -> list[Callable[[], Awaitable[object]]]:
    return [
        partial(ledger.create, [Submission(job())]),
        partial(ledger.placed, [placed(known)]),
        partial(ledger.finish, [completed(known)]),
        partial(ledger.mark_windows, []),
        ledger.ready,
    ]


def test_a_system_that_was_overtaken_writes_nothing(place: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        paused = Timing(ownership_look_s=60.0, database_sure_s=0.0)
        async with running(place, paused) as old:
            known = job()
            await create(old, known)
            await asyncio.to_thread(end_sessions, place, HOLDS_THE_LOCK)
            async with running(place) as new:
                for write in every_write(old, known):
                    with pytest.raises((DatabaseTaken, DatabaseUnavailable), match="another system has taken over"):
                        await write()
                assert rows(place, "SELECT state, attempt FROM jobs") == [("pending", 0)]
                assert [left.job.id for left in await old.open_jobs()] == [known.id]
                await new.finish([completed(known)])

    with caplog.at_level(logging.ERROR):
        run(scenario())
    assert sum("another system has taken over the database" in record.message for record in caplog.records) <= 2


def test_nobody_takes_over_in_the_middle_of_a_write(place: str) -> None:
    """The write is seen by who takes over, or it is not made at all."""
    first = Database(place)

    def overtaken(connection: Connection) -> None:
        connection.execute(text("UPDATE accounts SET name = 'changed'"))
        end_sessions(place, HOLDS_THE_LOCK)
        with pytest.raises(StartError, match="lock timeout"):
            Database(f"{place}?options=-c%20lock_timeout%3D100")

    assert first.commit([overtaken]) == [None]
    second = Database(place)
    with pytest.raises(DatabaseTaken):
        first.commit([lambda connection: None])
    assert {name for (name,) in rows(place, "SELECT name FROM accounts")} == {"changed"}
    for database in (first, second):
        database.close()


def test_a_lock_that_was_lost_is_taken_again(place: str) -> None:
    async def scenario() -> None:
        async with running(place) as ledger:
            await asyncio.to_thread(end_sessions, place, HOLDS_THE_LOCK)
            await until(lambda: rows(place, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"), "a lock again")
            with pytest.raises(StartError):
                await Ledger(place, None, DEFAULT, timing=SOON).start()
            await create(ledger, job())

    run(scenario())


def test_of_two_schemas_in_one_database_each_has_an_owner(server: PostgresServer, fresh: str) -> None:
    with psycopg.connect(plain(fresh)) as connection:
        connection.execute("CREATE SCHEMA other")
    first = Database(fresh)
    second = Database(f"{fresh}?options=-c%20search_path%3Dother")
    for database in (first, second):
        assert database.commit([lambda connection: connection.scalar(text("SELECT count(*) FROM jobs"))]) == [0]
        database.close()


def test_many_that_start_at_once_make_one_schema(fresh: str) -> None:
    def start(_: int) -> int:
        database = Database(fresh, lock_wait_s=30)
        epoch = database.read(lambda connection: connection.scalar(text("SELECT epoch FROM owner")))
        database.close()
        return int(epoch or 0)

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(start, range(6))) == [1, 2, 3, 4, 5, 6]
    newest = max(file.name[:4] for file in Path(migrations.__file__).parent.glob("versions/0*.py"))
    assert rows(fresh, "SELECT version_num FROM alembic_version") == [(newest,)]
