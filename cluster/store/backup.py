"""A copy of a database while a system uses it: a file of SQLite is copied here, a server has a program for that."""

import os
import shlex
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from cluster.errors import ConfigError, DatabaseFailed, StartError
from cluster.store.failures import shown, translated
from cluster.store.open import is_sqlite, open_to_read, parse


def back_up(database: str, file: Path, replace: bool) -> int:
    """Copies the database into `file`, which only its owner can read, and checks the copy. Answers its bytes.

    It is the database of one moment. Whoever writes there does not wait: the copy is made of what was committed when it
    began. `file` appears when it is whole. Raises ConfigError for a file that is there, unless it is to be replaced,
    and for a database of a server; StartError for one that cannot be read; OSError.
    """
    url = parse(database)
    if not is_sqlite(url):
        raise ConfigError(
            f"{shown(url)} is a server's, and PostgreSQL's own program copies it while it is used: {dump(url, file)} "
            "(it asks for the password, or reads it from ~/.pgpass)"
        )
    _refuse_present(file, replace)
    if not file.parent.is_dir():
        raise ConfigError(f"There is no folder {file.parent}")
    # Beside it: a file system can give a whole file another name at once, and no half one is ever seen.
    draft, name = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".part", dir=file.parent)
    os.close(draft)
    try:
        _copy(url, Path(name))
        _refuse_present(file, replace)
        Path(name).replace(file)
    finally:
        for left in file.parent.glob(f"{Path(name).name}*"):
            left.unlink()
    _make_durable(file.parent)
    return file.stat().st_size


def dump(url: URL, file: Path) -> str:
    """The command that copies a server's database into `file`. It holds no password."""
    query = {name: value for name, value in url.query.items() if "password" not in name}
    told = URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    return f"pg_dump --format=custom --file={shlex.quote(str(file))} {shlex.quote(told.render_as_string())}"


def _copy(url: URL, file: Path) -> None:
    engine = open_to_read(url)
    try:
        with translated(), engine.connect() as source, closing(sqlite3.connect(file)) as copy:
            driven: Any = source.connection.dbapi_connection
            # In one step: between steps a writer would have it begin anew, and writers never rest.
            driven.backup(copy)
            _refuse_damaged(copy, url)
    except sqlite3.Error as error:
        raise StartError(f"Cannot copy the database {shown(url)}: {error}") from None
    except DatabaseFailed as error:
        raise StartError(f"Cannot read the database {shown(url)}: {error}") from None
    finally:
        engine.dispose()
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _refuse_damaged(copy: sqlite3.Connection, url: URL) -> None:
    ((said,),) = copy.execute("PRAGMA quick_check(1)").fetchall()
    if said != "ok":
        raise StartError(f"The database {shown(url)} is damaged, and was not copied: {said}")


def _refuse_present(file: Path, replace: bool) -> None:
    if file.exists() and not (replace and file.is_file()):
        raise ConfigError(f"{file} is there already" + ("" if replace else ": --force replaces it"))


def _make_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
