"""Fixtures of the tests that run without Ray: unit tests, and those of the plain system."""

import asyncio
import locale
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from tests.support import ledger_stage, plain_system


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("a unit test must not start Ray")


@pytest.fixture(scope="session", autouse=True)
def no_ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", _refuse)
        yield


@pytest.fixture
def ascii_locale() -> Iterator[None]:
    """A machine where text is taken for ASCII, unless a program says what it is."""
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    yield
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.fixture(scope="session")
def prepared_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "infernet.db"
    asyncio.run(plain_system.prepare_database(path))
    return path


@pytest.fixture
def database(prepared_database: Path, tmp_path: Path) -> Path:
    """A database file with the first admin key, `plain_system.ADMIN_KEY`, and nothing else."""
    path = tmp_path / "infernet.db"
    path.touch(0o600)
    path.write_bytes(prepared_database.read_bytes())
    return path


@pytest.fixture
def fresh(tmp_path: Path) -> ledger_stage.Place:
    """Where a database may be made."""
    return tmp_path / "fresh.db"


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> ledger_stage.NewPlace:
    return lambda: ledger_stage.prepared(tmp_path_factory.mktemp("place") / "ledger.db")


@pytest.fixture
def place(places: ledger_stage.NewPlace) -> ledger_stage.Place:
    """A database with two accounts and their keys."""
    return places()
