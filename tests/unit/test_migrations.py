"""Versions of the schema: fresh, older, newer and foreign databases."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.schema import CreateIndex, CreateTable

from actors.ledger import Ledger
from cluster.errors import StartError
from cluster.ids import AccountId, KeyId
from cluster.keys import secret_hash
from cluster.messages.money import Rates, Usage, UsageQuery, UsageSum
from cluster.messages.people import Account, KeyLimits, Principal
from cluster.messages.records import JobQuery
from cluster.messages.work import Ended, Finished, Sampling
from cluster.store import migrations
from cluster.store.database import Database
from cluster.store.migrations import newest
from cluster.store.open import open_engine, parse
from cluster.store.tables import METADATA
from cluster.store.tables.jobs import JOBS
from tests.support.ledger_stage import Place, elsewhere, url, with_ledger


def revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def test_a_fresh_database_gets_the_tables_that_the_code_declares(fresh: Place) -> None:
    database = Database(url(fresh))

    def difference(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    assert database.read(difference) == []
    assert database.read(revision) == newest()
    database.close()


def test_partial_indexes_are_those_that_the_code_declares(tmp_path: Path) -> None:
    # Alembic does not compare their conditions.
    Database(url(tmp_path / "migrated.db")).close()
    declared = create_engine(url(tmp_path / "declared.db"))
    METADATA.create_all(declared)
    declared.dispose()

    def conditions(name: str) -> set[str]:
        with sqlite3.connect(tmp_path / name) as connection:
            found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql LIKE '%WHERE%'")
            return {f"{name} {sql.partition('WHERE')[2]}" for name, sql in found}

    assert conditions("migrated.db") == conditions("declared.db") != set()


def test_opening_again_changes_nothing(fresh: Place) -> None:
    for _ in range(2):
        Database(url(fresh)).close()
    assert elsewhere(fresh, "SELECT version_num FROM alembic_version") == [(newest(),)]


def test_an_older_database_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    database = Database(url(path))
    assert database.read(revision) == newest()
    assert "jobs" in database.read(lambda connection: inspect(connection).get_table_names())
    database.close()


def test_what_an_older_version_wrote_is_read_and_ended_by_this_one(fresh: Place) -> None:
    _write_as_version_1(fresh)

    async def scenario(ledger: Ledger) -> None:
        principal = await ledger.authenticate(secret_hash(SECRET))
        assert principal == Principal(AccountId("acct_1"), KeyId("key_1"), "admin", KeyLimits(7, 8, 9))
        (key,) = await ledger.keys(None)
        assert (key.prefix, key.limits, key.models, key.budget) == ("inft_", KeyLimits(7, 8, 9), (), None)
        assert await ledger.accounts() == [Account(AccountId("acct_1"), "old", 1)]
        (left,) = await ledger.open_jobs()
        assert (left.job.id, left.job.sampling, left.job.rates) == ("job_2", Sampling(max_tokens=5), Rates())
        await ledger.finish([Ended(left.job.id, "bye", Finished(Usage(2, 3), "stop"), 90)])
        assert await ledger.usage(UsageQuery(AccountId("acct_1"))) == [UsageSum((), 2, 6, 8, 0)]
        assert [record.content for record in (await ledger.jobs(AccountId("acct_1"), JobQuery())).records] == [
            "bye",
            "hello",
        ]
        assert await ledger.placements(left.job.id) == []

    with_ledger(fresh, scenario)


def test_an_upgrade_can_be_taken_back(fresh: Place) -> None:
    _write_as_version_1(fresh)
    before = _schema(fresh)
    engine = open_engine(parse(url(fresh)))
    migrations.upgrade(engine)
    with engine.begin() as connection:
        command.downgrade(migrations.config_of(connection), "0001")
    engine.dispose()
    assert _schema(fresh) == before


SECRET = "inft_" + "s" * 32
JOB = "id, account_id, key_id, model, state, request, labels, created_ms, deadline_ms, attempt"
LIMITS = '{"submissions_per_minute":7,"submissions_per_hour":8,"reads_per_minute":9}'
REQUEST = '{"messages":[{"role":"user","content":"Hi"}],"sampling":{"max_tokens":5}}'


def _write_as_version_1(place: Place) -> None:
    """A database of version 0001 with a key, a job that has ended and one that has not."""
    engine = create_engine(url(place))
    with engine.begin() as connection:
        command.upgrade(migrations.config_of(connection), "0001")
        for row in (
            "accounts VALUES ('acct_1', 'old', 1)",
            "api_keys VALUES ('key_1', 'acct_1', 'k', 'inft_', :hash, 'admin', 1, NULL, NULL, :limits)",
            f"jobs ({JOB}, content, finish_reason, prompt_tokens, completion_tokens, ended_ms) VALUES"
            " ('job_1', 'acct_1', 'key_1', 'sim', 'completed', :request, '{}', 10, 20, 1, :said, 'stop', 4, 5, 15)",
            "usage VALUES ('job_1', 'acct_1', 'key_1', 'sim', 4, 5, 15)",
            f"jobs ({JOB}) VALUES ('job_2', 'acct_1', 'key_1', 'sim', 'pending', :request, '{{}}', 11, 21, 0)",
        ):
            values = {"hash": secret_hash(SECRET), "limits": LIMITS, "request": REQUEST, "said": b"hello"}
            connection.execute(text(f"INSERT INTO {row}"), {k: v for k, v in values.items() if f":{k}" in row})
    engine.dispose()


def _schema(place: Place) -> dict[str, list[object]]:
    engine = create_engine(url(place))
    inspector = inspect(engine)
    schema: dict[str, list[object]] = {
        table: [
            sorted(
                (column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)
            ),
            sorted(str(index["name"]) for index in inspector.get_indexes(table)),
        ]
        for table in inspector.get_table_names()
    }
    engine.dispose()
    return schema


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "newer.db"
    Database(url(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StartError) as refusal:
        Database(url(path))
    assert "newer.db" in refusal.value.message
    assert "9999" in refusal.value.message
    assert "update the software" in refusal.value.message
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


def test_a_failed_upgrade_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "foreign.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE jobs (id TEXT)")  # the accounts are created before the jobs
    with pytest.raises(StartError, match=r"foreign\.db"):
        Database(url(path))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("jobs",)]


def test_upgrade_is_one_call_on_any_engine(tmp_path: Path) -> None:
    engine = create_engine(url(tmp_path / "plain%20name.db"))
    migrations.upgrade(engine)
    with engine.connect() as connection:
        assert revision(connection) == newest()
    engine.dispose()


def test_the_schema_can_be_told_to_postgresql() -> None:
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in METADATA.tables.values():
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
    statements = {str(CreateIndex(index).compile(dialect=dialect)) for index in JOBS.indexes}
    assert any("WHERE ended_ms IS NULL" in statement for statement in statements)
