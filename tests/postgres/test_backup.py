"""A server's database, copied by the command that `infernet backup` names, while the Ledger writes to it."""

import asyncio
import shlex
import subprocess
from pathlib import Path

import psycopg
import pytest

from actors.ledger import Ledger
from cluster.errors import ConfigError, StartError
from cluster.messages.records import JobQuery
from cluster.store.backup import back_up
from cluster.store.database import Database
from cluster.store.inspection import inspect
from tests.support.ledger_stage import OURS, Place, completed, create, job, with_ledger
from tests.support.postgres import PostgresServer, binaries, plain


def command(place: str, file: Path) -> list[str]:
    """What `infernet backup` says, as a shell would understand it."""
    with pytest.raises(ConfigError) as refusal:
        back_up(place, file, replace=False)
    words = shlex.split(refusal.value.message[refusal.value.message.index("pg_dump") :].partition(" (")[0])
    programs = binaries()
    assert programs is not None
    return [str(programs / words[0]), *words[1:]]


def test_the_command_that_is_named_copies_it_under_traffic(
    place: Place, server: PostgresServer, tmp_path: Path
) -> None:
    file = tmp_path / "copy.dump"
    made: list[str] = []

    async def original(ledger: Ledger) -> None:
        writing = asyncio.Event()

        async def write() -> None:
            while True:
                one = job()
                await create(ledger, one)
                made.append(one.id)
                if len(made) % 2:
                    await ledger.finish([completed(one)])
                if len(made) > 20:
                    writing.set()

        task = asyncio.create_task(write())
        await writing.wait()
        before = list(made)
        await asyncio.to_thread(subprocess.run, command(str(place), file), check=True, timeout=60)
        assert len(made) > len(before)
        task.cancel()
        copied.update(before)

    copied: set[str] = set()
    with_ledger(place, original)
    restored = server.create()
    programs = binaries()
    assert programs is not None
    subprocess.run([programs / "pg_restore", "--dbname", plain(restored), file], check=True, timeout=60)

    async def again(ledger: Ledger) -> None:
        there = {record.id for record in (await ledger.jobs(OURS, JobQuery(limit=10**6))).records}
        assert copied <= there <= set(made)
        await ledger.finish([completed(opened.job) for opened in await ledger.open_jobs()])

    with_ledger(restored, again)
    found = inspect(restored)
    assert (found.open_jobs, found.faults, found.in_use, found.is_sound) == (0, (), False, True)
    server.drop(restored)


def test_a_system_is_seen_and_an_upgrade_refused(place: Place) -> None:
    database = Database(str(place))
    assert inspect(str(place)).in_use
    with pytest.raises(StartError, match="Another system uses"):
        Database(str(place))
    database.keep()
    database.close()
    assert not inspect(str(place)).in_use


def test_an_empty_database_has_no_schema_and_stays_so(fresh: Place) -> None:
    for _ in range(2):
        found = inspect(str(fresh))
        assert (found.state, found.schema, found.is_sound) == ("none", None, True)


def test_the_schema_that_the_url_names_is_looked_at(fresh: Place, server: PostgresServer) -> None:
    """As one that shares a database with others is set up."""
    with psycopg.connect(plain(str(fresh)), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA apart")
    apart = f"{fresh}?options=-c%20search_path%3Dapart"
    Database(apart).close()
    assert inspect(apart).state == "current"
    assert inspect(str(fresh)).state == "none"
