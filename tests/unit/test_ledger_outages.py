"""A database file that is locked, full, or another system's, under the real Ledger. PostgreSQL: tests/postgres."""

import asyncio
import fcntl
import logging
import os
import resource
import signal
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, text

from actors.database.access import Access
from actors.ledger import Ledger
from actors.wire.every import Every
from cluster.clock import SYSTEM_CLOCK
from cluster.errors import DatabaseTaken, DatabaseUnavailable, StartError
from cluster.ids import new_key_id
from cluster.keys import new_secret, secret_hash
from cluster.messages.people import NewKey
from cluster.store import database, disk
from cluster.store import open as opening
from cluster.store.database import Database
from cluster.timing import Timing
from tests.support.database_outages import locked_sqlite
from tests.support.ledger_stage import (
    ADMIN,
    DEFAULT,
    NOW,
    OUR_SECRET,
    OURS,
    Clock,
    Place,
    completed,
    create,
    elsewhere,
    job,
    placed,
    url,
    with_ledger,
)
from tests.support.plain_system import until

SOON = Timing(ownership_wait_s=0.0, ownership_look_s=0.01, database_sure_s=0.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits for a lock for a moment instead of 5 s."""
    monkeypatch.setattr(opening, "_SQLITE_PRAGMAS", (*opening._SQLITE_PRAGMAS, "PRAGMA busy_timeout = 20"))


def lock_file(path: Place) -> Path:
    assert isinstance(path, Path)
    return path.with_name(f"{path.name}.lock")


# Away -----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_a_locked_file_is_told_of_and_all_is_well_when_it_is_free(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        await ledger.ready()
        with locked_sqlite(Path(place)):
            answers = await asyncio.gather(*(create(ledger, job()) for _ in range(20)), return_exceptions=True)
            assert {type(answer) for answer in answers} == {DatabaseUnavailable}
            with pytest.raises(DatabaseUnavailable):
                await ledger.ready()
            assert await ledger.open_jobs() == []  # reads need no lock
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await ledger.ready()  # one that has just failed is not asked again
        clock.advance(SOON.database_failed_s)
        await ledger.ready()
        await create(ledger, job())

    with caplog.at_level(logging.WARNING):
        with_ledger(place, scenario, clock, SOON)
    about = [record.message for record in caplog.records if record.message.startswith("writing to the database")]
    assert about == [
        "writing to the database: DatabaseUnavailable: database is locked",
        "writing to the database: works again",
    ]


def test_a_full_disk_is_told_of_and_all_is_well_when_there_is_room(place: Place) -> None:
    """The limit on the size of this process's files stands for the disk's."""
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        await create(ledger, job())
        long = replace(job(), metadata={"a": "x" * 300_000})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        try:
            with pytest.raises(DatabaseUnavailable):
                await create(ledger, long)
            with pytest.raises(DatabaseUnavailable):
                await ledger.ready()
            assert len(await ledger.open_jobs()) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        clock.advance(SOON.database_failed_s)
        await ledger.ready()
        await create(ledger, long)
        assert elsewhere(place, "PRAGMA integrity_check") == [("ok",)]

    with_ledger(place, scenario, clock, SOON)


@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_written_to_a_file_that_nobody_would_find_again(
    replaced: bool, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite would write on into the file that was removed, and open the one in its place for the next call."""
    clock = Clock()
    assert isinstance(place, Path)
    hidden = place.with_name("hidden")

    async def scenario(ledger: Ledger) -> None:
        await create(ledger, job())
        place.rename(hidden)
        if replaced:
            place.touch()
        for call in (create(ledger, job()), ledger.ready(), ledger.open_jobs()):
            with pytest.raises(DatabaseUnavailable):
                await call
        hidden.rename(place)
        clock.advance(SOON.database_failed_s)
        await ledger.ready()
        assert len(await ledger.open_jobs()) == 1

    with caplog.at_level(logging.WARNING):
        with_ledger(place, scenario, clock, SOON)
    assert any("its file has been moved or removed, or another one is in its place" in line for line in caplog.messages)


def test_a_disk_without_room_for_a_job_is_told_of_before_one_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.ready()
        monkeypatch.setattr(disk, "_ROOM_BYTES", 1 << 60)
        with pytest.raises(DatabaseUnavailable, match="its disk is full"):
            await ledger.ready()

    with caplog.at_level(logging.WARNING):
        with_ledger(place, scenario, Clock(), SOON)
    assert "keeping the database: DatabaseUnavailable: its disk is full" in caplog.messages


@pytest.mark.usefixtures("impatient")
def test_who_holds_a_key_is_known_while_the_file_is_away(place: Place) -> None:
    assert isinstance(place, Path)
    hidden = place.with_name("hidden")

    async def scenario(ledger: Ledger) -> None:
        other = NewKey(new_key_id(), OURS, "y", new_secret(), "member", NOW)
        await ledger.create_key(ADMIN, other)
        holder = await ledger.authenticate(secret_hash(OUR_SECRET))
        place.rename(hidden)
        assert await ledger.authenticate(secret_hash(OUR_SECRET)) == holder
        with pytest.raises(DatabaseUnavailable):
            await ledger.authenticate(secret_hash(other.secret))  # nobody has asked for it before
        hidden.rename(place)
        assert await ledger.authenticate(secret_hash(other.secret)) is not None
        await ledger.revoke_key(other.id, None)
        place.rename(hidden)
        with pytest.raises(DatabaseUnavailable):
            await ledger.authenticate(secret_hash(other.secret))
        hidden.rename(place)
        assert await ledger.authenticate(secret_hash(other.secret)) is None

    with_ledger(place, scenario, Clock(), SOON)


def test_ready_says_whether_a_write_would_succeed_and_writes_seldom(place: Place) -> None:
    clock = Clock()

    def touched() -> object:
        return elsewhere(place, "SELECT touched_ms FROM owner")[0][0]

    async def scenario(ledger: Ledger) -> None:
        await ledger.ready()
        first = touched()
        assert first == clock.ms
        clock.advance(Timing().database_sure_s / 2)
        await ledger.ready()
        assert touched() == first
        clock.advance(Timing().database_sure_s)
        await ledger.ready()
        assert touched() == clock.ms

    with_ledger(place, scenario, clock)


def test_a_call_without_an_answer_is_given_up(place: Place) -> None:
    """No caller waits for longer, and no thread is lost: later calls have all of them."""
    quick = Timing(database_s=0.3, database_silence_s=0.05, database_look_s=0.01)
    # Seconds, and not for ever: nothing but the cut would end it.
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3e7) SELECT max(i) FROM n"

    async def nothing() -> None:
        pass

    async def scenario() -> None:
        access = Access(url(place), lambda _: None, SYSTEM_CLOCK, quick)
        access.repeat(Every(60, nothing, "nothing"))
        await access.open()
        for _ in range(3):
            calls = (access.read(lambda connection: connection.scalar(text(endless))) for _ in range(6))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(answer) for answer in answers} == {DatabaseUnavailable}
        assert await access.read(lambda connection: connection.scalar(text("SELECT 1"))) == 1
        await access.close()

    asyncio.run(scenario())


def test_a_write_that_nobody_waits_for_any_more_is_not_begun(place: Place) -> None:
    quick = Timing(database_s=0.05)
    may_go_on = threading.Event()
    ran: list[int] = []

    def slow(_: Connection) -> None:
        may_go_on.wait()

    async def nothing() -> None:
        pass

    async def scenario() -> None:
        access = Access(url(place), lambda _: None, SYSTEM_CLOCK, quick)
        access.repeat(Every(60, nothing, "nothing"))
        await access.open()
        for write in (slow, lambda _: ran.append(1)):
            with pytest.raises(DatabaseUnavailable, match="no answer within"):
                await access.write(write)
        may_go_on.set()
        await access.write(lambda _: ran.append(2))
        await access.close()

    asyncio.run(scenario())
    assert ran == [2]


# One owner ------------------------------------------------------------------------------------------------------------


def test_a_second_system_is_refused_at_its_start(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.start()
        second = Ledger(url(place), None, DEFAULT, timing=SOON)
        with pytest.raises(StartError, match=r"Another system uses the database sqlite:///.*ledger\.db") as refusal:
            await second.start()
        assert "\n" not in refusal.value.message
        # Nor does it come in by another way.
        with pytest.raises(DatabaseUnavailable):
            await create(second, job())
        await second.stop()
        await create(ledger, job())

    with_ledger(place, scenario)
    with_ledger(place, lambda ledger: create(ledger, job()))


def test_whether_a_database_is_free_can_be_asked_without_taking_it(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        database.require_free(url(place))
        await ledger.start()
        with pytest.raises(StartError, match="Another system uses the database"):
            database.require_free(url(place))
        await create(ledger, job())

    with_ledger(place, scenario)


def test_a_ledger_waits_for_the_one_before_it_to_go(place: Place) -> None:
    async def scenario() -> None:
        before = Ledger(url(place), None, DEFAULT)
        await before.start()
        after = Ledger(url(place), None, DEFAULT)
        calls = [asyncio.create_task(create(after, job())) for _ in range(3)]
        await asyncio.sleep(0)
        await before.stop()
        await asyncio.gather(*calls)
        await after.stop()

    asyncio.run(scenario())


def test_what_a_dead_ledger_had_begun_is_written_before_the_next_one_owns_the_database_or_not_at_all(
    place: Place,
) -> None:
    async def scenario() -> None:
        known = job()
        dead = Ledger(url(place), None, DEFAULT)
        await create(dead, known)
        calls = [asyncio.ensure_future(dead.finish([completed(known, f"end {number}")])) for number in range(5)]
        await asyncio.sleep(0)
        await dead.abandon()
        after = Ledger(url(place), None, DEFAULT)
        await after.start()
        await after.finish([completed(known, "the next one's end")])
        ended = elsewhere(place, "SELECT content FROM jobs")
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert elsewhere(place, "SELECT content FROM jobs") == ended
        assert elsewhere(place, "SELECT count(*) FROM usage") == [(1,)]
        await after.stop()

    asyncio.run(scenario())


def test_the_lock_is_gone_with_its_process_however_that_ends(place: Place) -> None:
    told, tell = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            Database(url(place))
            os.write(tell, b"held")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(told, 4) == b"held"
    with pytest.raises(StartError, match="Another system"):
        Database(url(place))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    for end in (told, tell):
        os.close(end)
    Database(url(place), lock_wait_s=5.0).close()


async def overtaking(place: Place) -> Ledger:
    """Another system takes over, whose lock is lost. The old one may be about to look after it for the first time."""
    while True:
        lock_file(place).unlink()
        new = Ledger(url(place), None, DEFAULT, timing=SOON)
        try:
            await new.start()
        except StartError:
            await new.stop()
        else:
            return new


def test_a_system_that_was_overtaken_writes_nothing_and_says_so(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Its lock was lost, here with the file, and it did not notice before another one took over."""

    async def scenario(old: Ledger) -> None:
        known = job()
        await create(old, known)
        new = await overtaking(place)
        for write in (create(old, job()), old.placed([placed(known)]), old.finish([completed(known)])):
            with pytest.raises(DatabaseTaken, match="another system has taken over"):
                await write
        with pytest.raises(DatabaseUnavailable, match="another system has taken over"):
            await old.ready()
        assert elsewhere(place, "SELECT state, attempt FROM jobs") == [("pending", 0)]
        assert [left.job.id for left in await old.open_jobs()] == [known.id]
        await new.finish([completed(known)])
        await new.stop()

    with caplog.at_level(logging.ERROR):
        with_ledger(place, scenario, timing=Timing(ownership_look_s=60.0))
    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert "stop it" in told[0]


def test_one_that_is_idle_notices_too(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(old: Ledger) -> None:
        await old.start()
        with sqlite3.connect(place) as another:
            another.execute("UPDATE owner SET epoch = epoch + 1")
        another.close()
        await until(lambda: "another system has taken over" in caplog.text, "that it says so")

    with caplog.at_level(logging.ERROR):
        with_ledger(place, scenario, timing=SOON)


def is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_lock_file_that_was_removed_is_made_again(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.start()
        lock_file(place).unlink()
        await until(lambda: is_locked(lock_file(place)), "a lock")
        with pytest.raises(StartError, match="Another system"):
            Database(url(place))
        await create(ledger, job())

    with_ledger(place, scenario, timing=SOON)


def test_many_that_start_at_once_make_one_schema(fresh: Place) -> None:
    epochs: list[object] = []

    def start() -> None:
        database = Database(url(fresh), lock_wait_s=30.0)
        epochs.append(database.read(lambda connection: connection.scalar(text("SELECT epoch FROM owner"))))
        database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, epochs)) == ["1", "2", "3", "4"]


# Who can read it ------------------------------------------------------------------------------------------------------


def test_a_new_database_is_its_owners_alone(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "new.db"))
    database.commit([lambda connection: connection.execute(text("UPDATE owner SET touched_ms = 1")).rowcount])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    database.close()
    assert set(modes) == {"new.db", "new.db-wal", "new.db-shm", "new.db.lock"}
    assert set(modes.values()) == {0o600}


def test_a_database_that_others_can_read_is_warned_about(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(place, Path)
    for mode, lines in ((0o644, 1), (0o600, 0)):
        place.chmod(mode)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            Database(url(place)).close()
        assert len(caplog.records) == lines
        assert all("chmod 600" in record.message for record in caplog.records)
