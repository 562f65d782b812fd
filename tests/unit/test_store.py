"""The store: opening a database, transactions, keys. What the Ledger offers of it is tested there."""

import pickle
import sqlite3
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from cluster.errors import Conflict, DatabaseRefused, DatabaseUnavailable, StartError
from cluster.ids import AccountId, KeyId
from cluster.keys import new_secret, secret_hash, visible_prefix
from cluster.messages.people import Account, KeyLimits, NewKey
from cluster.store import accounts, keys
from cluster.store import open as opening
from cluster.store.database import Database, Write, require_free
from cluster.store.tables.people import ACCOUNTS
from tests.support.ledger_stage import Place, elsewhere, url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def database(fresh: Place) -> Iterator[Database]:
    database = Database(url(fresh))
    yield database
    database.close()


def add_account(name: str) -> Write[None]:
    return partial(accounts.add, account=Account(AccountId(name), name, 1))


def account_ids(connection: Connection) -> list[str]:
    return list(connection.scalars(select(ACCOUNTS.c.id).order_by(ACCOUNTS.c.id)))


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)],
)
def test_sqlite_is_durable_and_concurrent(database: Database, pragma: str, value: object) -> None:
    assert database.read(lambda connection: connection.scalar(text(f"PRAGMA {pragma}"))) == value


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("sqlite://", "must be a path"),
        ("sqlite:///:memory:", "must be a path"),
        ("infernet.db", "not a database URL"),
        ("tapes://reel", "No such kind of database"),
        ("mysql://ann@host/db", "No such kind of database"),
        ("postgresql+pg8000://ann@host/db", r"postgresql\+psycopg://"),
        ("sqlite:////nowhere/at/all.db", "nowhere/at/all.db: No such file or directory"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named_with_the_reason(wrong: str, reason: str) -> None:
    with pytest.raises(StartError, match=reason):
        Database(wrong)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("no database " * 100)
    with pytest.raises(StartError, match=r"store\.db"):
        Database(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "url", ["postgres://ann@host/db", "postgresql://ann@host/db", "postgresql+psycopg://ann@host/db"]
)
def test_every_way_to_name_a_postgresql_leads_to_the_same_driver(url: str) -> None:
    assert opening.parse(url).drivername == "postgresql+psycopg"


def test_no_message_tells_a_password() -> None:
    with pytest.raises(StartError) as refusal:
        Database("tapes://ann:secret@reel/x?password=secret")
    assert "ann" in refusal.value.message
    assert "secret" not in refusal.value.message


def test_writes_of_a_batch_are_committed_together(database: Database, fresh: Place) -> None:
    assert database.commit([add_account("a"), add_account("b")]) == [None, None]
    assert elsewhere(fresh, "SELECT count(*) FROM accounts") == [(2,)]


def test_only_the_bad_write_of_a_batch_fails(database: Database) -> None:
    errors = database.commit([add_account("a"), add_account("a"), add_account("b")])
    assert [type(error) for error in errors] == [type(None), DatabaseRefused, type(None)]
    assert database.read(account_ids) == ["a", "b"]


def test_a_batch_that_is_taken_apart_is_given_up_when_the_database_goes_away(database: Database) -> None:
    """Each try may take until its limit."""
    tries: list[str] = []

    def bad(_: Connection) -> None:
        raise ValueError("bad")

    def away(_: Connection) -> None:
        tries.append("away")
        raise DatabaseUnavailable("the server is gone")

    answers = database.commit([add_account("a"), bad, away, away, away])
    assert [type(answer) for answer in answers] == [type(None), ValueError, *[DatabaseUnavailable] * 3]
    assert tries == ["away"]
    assert database.read(account_ids) == ["a"]


def test_writes_answer_and_refuse_without_disturbing_others(database: Database) -> None:
    transactions = 0

    def count(connection: Connection) -> int:
        nonlocal transactions
        transactions += 1
        return len(account_ids(connection))

    def refuse(connection: Connection) -> None:
        raise Conflict("not this one")

    answers = database.commit([add_account("a"), count, refuse, add_account("b"), count])
    assert answers[:2] + answers[3:] == [None, 1, None, 2]
    assert isinstance(answers[2], Conflict)
    assert transactions == 2  # nothing was done over
    assert database.read(account_ids) == ["a", "b"]


def test_a_locked_database_is_the_callers_to_retry(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_SQLITE_PRAGMAS", (*opening._SQLITE_PRAGMAS, "PRAGMA busy_timeout = 1"))
    database = Database(url(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="database is locked") as refusal:
        database.commit([add_account("a"), add_account("b")])
    assert refusal.value.retryable
    other.execute("ROLLBACK")
    other.close()
    assert database.commit([add_account("a")]) == [None]
    assert database.read(account_ids) == ["a"]
    database.close()


def test_errors_cross_process_borders_without_what_was_written(database: Database) -> None:
    def bad(connection: Connection) -> None:
        connection.execute(text("INSERT INTO accounts (id, created_ms) VALUES (:id, 1)"), {"id": "a prompt"})

    (error,) = database.commit([bad])
    assert isinstance(error, DatabaseRefused)
    assert "a prompt" not in "".join(traceback.format_exception(error))
    assert str(pickle.loads(pickle.dumps(error))) in (
        "NOT NULL constraint failed: accounts.name",
        'null value in column "name" of relation "accounts" violates not-null constraint',
    )
    assert b"a prompt" not in pickle.dumps(error)


def test_secrets_are_long_random_and_never_the_same() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert len(secret) == 43
        assert secret.startswith("inft_")
        assert secret[5:].isalnum()
        assert secret.startswith(visible_prefix(secret))
        assert visible_prefix(secret) not in ("", "inft_")


def test_a_prefix_shows_little_of_a_short_secret() -> None:
    assert visible_prefix("12345678") == "12"


def test_the_secret_of_a_key_is_not_in_the_database(path: Path) -> None:
    database, secret = Database(url(path)), new_secret()
    key = NewKey(KeyId("key_1"), AccountId("a"), "laptop", secret, "member", 1, limits=KeyLimits(reads_per_minute=7))
    assert database.commit([add_account("a"), partial(keys.add, key=key)]) == [None, None]
    database.close()
    assert secret.encode() not in path.read_bytes()
    assert visible_prefix(secret).encode() in path.read_bytes()
    assert secret_hash(secret).encode() in path.read_bytes()


@pytest.mark.parametrize("kind", ["garbage", "a folder"])
def test_a_file_that_is_no_database_is_told_of_before_anything_is_started_for_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "given.db"
    if kind == "garbage":
        path.write_bytes(b"no database at all " * 100)
    else:
        path.mkdir()
    with pytest.raises(StartError, match=f"^Cannot open the database sqlite:///{path}: "):
        require_free(url(path))
