"""What happens to the file of an SQLite database, for as long as a test wants it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path


@contextmanager
def locked_sqlite(file: Path) -> Iterator[None]:
    """As a backup does, or an operator with a transaction open: nobody else can write."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as database:
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            database.execute("ROLLBACK")


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """The disk of this folder has no byte left."""
    filler = folder / "filler"
    with filler.open("wb") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(1 << 16))
    with filler.open("ab") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(1))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def away(file: Path) -> Iterator[None]:
    """A database's file is gone, and a folder in its place, so that nobody makes another."""
    hidden = file.with_suffix(".hidden")
    file.rename(hidden)
    file.mkdir()
    try:
        yield
    finally:
        file.rmdir()
        hidden.rename(file)
