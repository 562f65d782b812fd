"""What holds for every unit test: no Ray. And what the tests of the plain system start from."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from tests.support import plain_system


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("a unit test must not start Ray")


@pytest.fixture(scope="session", autouse=True)
def _no_ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "init", _refuse)
        yield


@pytest.fixture(scope="session")
def _prepared_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "infernet.db"
    asyncio.run(plain_system.prepare_database(path))
    return path


@pytest.fixture
def database(_prepared_database: Path, tmp_path: Path) -> Path:
    """A database file with the first admin key, `plain_system.ADMIN_KEY`, and nothing else."""
    path = tmp_path / "infernet.db"
    path.write_bytes(_prepared_database.read_bytes())
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Scheduler's ticks in milliseconds."""
    for name, seconds in plain_system.QUICK_CONSTANTS.items():
        monkeypatch.setattr(name, seconds)
