"""`infernet backup` and `infernet db`: what they say, what they refuse, and what they leave alone."""

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from cluster.clock import iso_utc
from cluster.store.database import Database
from cluster.store.migrations import newest
from tests.support import older_databases as older
from tests.support.ledger_stage import NOW, Ledger, completed, create, job, prepared, url, with_ledger

PASSWORD = "s3cret/@:%"
SERVER = "postgresql+psycopg://ann:s3cret%2F%40%3A%25@db.example:5433/prod?sslmode=require&sslpassword=s3cret"


@pytest.fixture
def infernet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Path) -> Any:
    """Runs the command in this process: its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["infernet", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert PASSWORD not in out + err
        assert "s3cret" not in out + err
        return end.value.code, out, err

    return run


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with a database of two jobs, one of which has ended."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("INFERNET_STATE", str(folder))
    monkeypatch.delenv("INFERNET_DATABASE", raising=False)
    prepared(folder / "infernet.db")

    async def scenario(ledger: Ledger) -> None:
        ended, waiting = job(), job()
        await create(ledger, ended, waiting)
        await ledger.finish([completed(ended)])

    with_ledger(folder / "infernet.db", scenario)
    return folder


def ids(file: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT id FROM jobs ORDER BY id").fetchall()


# backup ---------------------------------------------------------------------------------------------------------------


def test_a_backup_is_whole_and_only_its_owner_can_read_it(infernet: Any, state: Path, tmp_path: Path) -> None:
    file = tmp_path / "copy of [1] *.db"
    code, out, err = infernet("backup", file)
    assert (code, err) == (0, "")
    assert out == f"{file}: {file.stat().st_size:,} bytes, checked\n"
    assert ids(file) == ids(state / "infernet.db") != []
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {state.name, file.name}


def test_it_has_what_only_the_log_beside_the_file_has(infernet: Any, state: Path, tmp_path: Path) -> None:
    """A system that was killed leaves a log: what is in it was committed."""
    file, killed = tmp_path / "copy.db", tmp_path / "killed"
    database = Database(url(state / "infernet.db"))
    database.commit([lambda connection: connection.exec_driver_sql('UPDATE jobs SET labels = \'{"a":"b"}\'')])
    shutil.copytree(state, killed)
    database.close()
    assert (killed / "infernet.db-wal").stat().st_size > 0
    assert infernet("backup", file, "--state", killed)[0] == 0
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT DISTINCT labels FROM jobs").fetchall() == [('{"a":"b"}',)]


def test_what_is_there_is_replaced_only_where_that_is_said(infernet: Any, tmp_path: Path) -> None:
    file = tmp_path / "copy.db"
    file.write_text("dear")
    assert infernet("backup", file) == (1, "", f"infernet: {file} is there already: --force replaces it\n")
    assert file.read_text() == "dear"
    assert infernet("backup", file, "--force")[0] == 0
    assert ids(file) != []
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_is_one_line_and_leaves_nothing(infernet: Any, state: Path, tmp_path: Path) -> None:
    for file, options, said in (
        (tmp_path, [], "is there already"),
        (tmp_path, ["--force"], "is there already"),
        (tmp_path / "no" / "copy.db", [], f"There is no folder {tmp_path / 'no'}"),
        (tmp_path / "copy.db", ["--state", tmp_path / "none"], "There is no database"),
        (tmp_path / "copy.db", ["--config", tmp_path / "none.yaml"], "No such file"),
    ):
        code, out, err = infernet("backup", file, *options)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert said in err
    assert [path.name for path in tmp_path.iterdir()] == [state.name]


def test_the_database_itself_is_never_replaced(infernet: Any, state: Path, tmp_path: Path) -> None:
    """A system that uses it would write on into a file that has no name any more."""
    database = Database(url(state / "infernet.db"))
    database.keep()
    (tmp_path / "link.db").symlink_to(state / "infernet.db")
    (tmp_path / "hard.db").hardlink_to(state / "infernet.db")
    for file in (*state.iterdir(), tmp_path / "link.db", tmp_path / "hard.db"):
        code, _, err = infernet("backup", file, "--force")
        assert (code, err) == (1, f"infernet: {file} is of the database itself: name another file\n")
    database.close()
    (state / "infernet.db.before").write_text("an older copy")
    assert infernet("backup", state / "infernet.db.before", "--force")[0] == 0


def test_a_damaged_database_is_not_taken_for_a_backup(infernet: Any, state: Path, tmp_path: Path) -> None:
    content = bytearray((state / "infernet.db").read_bytes())
    content[8 * 4096 : 20 * 4096] = b"\xff" * (12 * 4096)
    (state / "infernet.db").write_bytes(content)
    code, out, err = infernet("backup", tmp_path / "copy.db")
    assert (code, out) == (1, "")
    assert "damaged" in err or "malformed" in err
    assert [path.name for path in tmp_path.iterdir()] == [state.name]


def test_what_is_no_database_is_named(infernet: Any, state: Path, tmp_path: Path) -> None:
    (state / "infernet.db").write_text("no database " * 1000)
    for arguments in (("backup", tmp_path / "copy.db"), ("db", "check"), ("db", "upgrade")):
        code, out, err = infernet(*arguments)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "infernet.db: file is not a database" in err


def test_of_a_server_the_program_is_named_without_its_password(infernet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERNET_DATABASE", SERVER)
    code, out, err = infernet("backup", "to day.dump")
    assert (code, out, err.count("\n")) == (1, "", 1)
    command = "pg_dump --format=custom --file='to day.dump' 'postgresql://ann@db.example:5433/prod?sslmode=require'"
    assert command in err


def test_the_database_is_that_of_the_settings(infernet: Any, state: Path, tmp_path: Path) -> None:
    (state / "infernet.db").rename(tmp_path / "other.db")
    (tmp_path / "place").write_text(f"sqlite:///{tmp_path / 'other.db'}\n")
    (tmp_path / "settings.yaml").write_text(f"database: file:{tmp_path / 'place'}\n")
    assert infernet("backup", tmp_path / "copy.db", "--config", tmp_path / "settings.yaml")[0] == 0
    assert ids(tmp_path / "copy.db") == ids(tmp_path / "other.db")


# db check and db upgrade ----------------------------------------------------------------------------------------------


def told(infernet: Any, code: int = 0) -> dict[str, Any]:
    ended, out, err = infernet("db", "check", "--json")
    assert (ended, err) == (code, "")
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_a_check_tells_how_the_database_is(infernet: Any, state: Path) -> None:
    code, out, err = infernet("db", "check")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"Database sqlite:///{state / 'infernet.db'}"
    assert f"Its schema is {newest()}, the newest." in out
    assert f"No system uses it; the last one began at {iso_utc(NOW)}." in out
    assert "1 jobs are open, 1 have ended." in out
    assert "Nothing is wrong with it." in out
    assert told(infernet)["open_jobs"] == 1


def test_a_check_writes_nothing(infernet: Any, state: Path) -> None:
    before = (state / "infernet.db").read_bytes()
    told(infernet)
    assert (state / "infernet.db").read_bytes() == before
    log = state / "infernet.db-wal"
    assert not log.exists() or log.stat().st_size == 0


def test_a_running_system_is_seen_and_not_disturbed(infernet: Any, state: Path) -> None:
    database = Database(url(state / "infernet.db"))
    assert told(infernet)["in_use"] is True
    code, out, err = infernet("db", "upgrade")
    assert (code, out) == (1, "")
    assert "Another system uses the database" in err
    database.keep()
    database.close()
    assert told(infernet)["in_use"] is False


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM usage", "1 ended jobs without usage"),
        ("UPDATE usage_days SET cost = cost + 1", "1 sums of days that are not those of their jobs"),
        ("INSERT INTO usage SELECT id, account_id, key_id, model, 1, 1, 1, 1 FROM jobs WHERE ended_ms IS NULL",
         "1 open jobs with usage"),
        ("INSERT INTO budgets VALUES ('key_ours', 'tokens', 10, 'all', 0, 0, 5, 0)",
         "1 budgets that have reserved another amount than their jobs"),
        ("UPDATE jobs SET key_id = 'key_none' WHERE ended_ms IS NULL", "1 rows refer to what is not there"),
    ],
)  # fmt: skip
def test_what_no_system_writes_is_told(infernet: Any, state: Path, change: str, said: str) -> None:
    with closing(sqlite3.connect(state / "infernet.db")) as connection, connection:
        connection.execute(change)
    code, out, _ = infernet("db", "check")
    assert code == 1
    assert f"Wrong: {said}." in out
    assert said in told(infernet, 1)["faults"]


def test_a_damaged_index_is_told(infernet: Any, state: Path) -> None:
    with closing(sqlite3.connect(state / "infernet.db")) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'created_ms', 'deadline_ms')"
                           " WHERE name = 'jobs_of_account'")  # fmt: skip
    code, out, _ = infernet("db", "check")
    assert code == 1
    assert "Wrong: the file is damaged" in out


def test_an_older_schema_is_told_and_brought_up_to_date(infernet: Any, state: Path) -> None:
    (state / "infernet.db").unlink()
    older.write(state / "infernet.db", "0004", NOW)
    assert (told(infernet)["state"], told(infernet)["schema"]) == ("older", "0004")
    assert "the next start, or `infernet db upgrade`" in infernet("db", "check")[1]
    code, out, err = infernet("db", "upgrade")
    assert (code, err) == (0, "")
    assert out == f"The schema is {newest()} now; before there was 0004\n"
    assert (told(infernet)["state"], told(infernet)["open_jobs"]) == ("current", 8)
    assert "nothing was to be done" in infernet("db", "upgrade")[1]


def test_a_newer_schema_is_told_and_left_alone(infernet: Any, state: Path) -> None:
    with closing(sqlite3.connect(state / "infernet.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert told(infernet, 1)["state"] == "newer"
    code, _, err = infernet("db", "upgrade")
    assert code == 1
    assert "update the software" in err


def test_nothing_is_made_where_nothing_is(infernet: Any, tmp_path: Path) -> None:
    for command in ("check", "upgrade"):
        code, _, err = infernet("db", command, "--state", tmp_path / "none")
        assert (code, err) == (1, f"infernet: There is no database sqlite:///{tmp_path / 'none' / 'infernet.db'}\n")
    assert not (tmp_path / "none").exists()
