"""Versions of the schema: fresh, older, newer and foreign databases."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.schema import CreateIndex, CreateTable

from cluster.errors import StartError
from cluster.store import migrations
from cluster.store.database import Database
from cluster.store.tables import ACCOUNTS, JOBS, KEYS, USAGE


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def test_a_fresh_database_gets_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "fresh.db"))

    def difference(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), JOBS.metadata))

    assert database.read(difference) == []
    assert database.read(revision) == "0001"
    database.close()


def test_partial_indexes_are_those_that_the_code_declares(tmp_path: Path) -> None:
    # Alembic does not compare their conditions.
    Database(url(tmp_path / "migrated.db")).close()
    declared = create_engine(url(tmp_path / "declared.db"))
    JOBS.metadata.create_all(declared)
    declared.dispose()

    def conditions(name: str) -> set[str]:
        with sqlite3.connect(tmp_path / name) as connection:
            found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql LIKE '%WHERE%'")
            return {f"{name} {sql.partition('WHERE')[2]}" for name, sql in found}

    assert conditions("migrated.db") == conditions("declared.db") != set()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        Database(url(tmp_path / "x.db")).close()
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]


def test_an_older_database_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    database = Database(url(path))
    assert database.read(revision) == "0001"
    assert "jobs" in database.read(lambda connection: inspect(connection).get_table_names())
    database.close()


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
        assert revision(connection) == "0001"
    engine.dispose()


def test_the_schema_can_be_told_to_postgresql() -> None:
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in (ACCOUNTS, KEYS, JOBS, USAGE):
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
    statements = {str(CreateIndex(index).compile(dialect=dialect)) for index in JOBS.indexes}
    assert any("WHERE ended_ms IS NULL" in statement for statement in statements)
