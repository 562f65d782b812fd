"""Before anything is started: an older schema is brought up to date, however long that takes."""

from pathlib import Path

import pytest

from api.cli import render
from api.cli.run.schema import bring_up_to_date
from cluster.errors import StartError
from cluster.store.database import Database
from cluster.store.inspection import schema_of
from cluster.store.migrations import newest
from tests.support import older_databases as older
from tests.support.ledger_stage import NOW, Place, url


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(render.console, "print", lambda *words, **_: lines.append(" ".join(map(str, words))))
    return lines


def test_an_older_schema_is_brought_up_to_date_and_that_is_told(fresh: Place, told: list[str]) -> None:
    older.write(fresh, "0003", NOW)
    bring_up_to_date(url(fresh))
    assert schema_of(url(fresh)) == (newest(), "current")
    assert told[0] == "Bringing the database's schema up to date ... "
    bring_up_to_date(url(fresh))
    assert len(told) == 2  # the second is its seconds


def test_a_new_database_is_left_to_the_ledger(tmp_path: Path, told: list[str]) -> None:
    bring_up_to_date(url(tmp_path / "new.db"))
    (tmp_path / "empty.db").touch(0o600)
    bring_up_to_date(url(tmp_path / "empty.db"))
    assert schema_of(url(tmp_path / "empty.db")) == (None, "none")
    assert not (tmp_path / "new.db").exists()
    assert told == []


def test_one_that_a_system_uses_is_refused(fresh: Place, told: list[str]) -> None:
    older.write(fresh, "0009", NOW)
    other = Database(url(fresh))
    other.commit([lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0009'")])
    with pytest.raises(StartError, match="Another system uses"):
        bring_up_to_date(url(fresh))
    other.close()
