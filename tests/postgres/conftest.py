"""The Ledger and its store on PostgreSQL: one server for the session, and a database of its own for each test."""

import functools
from collections.abc import Iterator

import pytest

from tests.support import ledger_stage
from tests.support.fixtures import no_ray
from tests.support.postgres import PostgresServer, plain

__all__ = ["no_ray"]


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with PostgresServer.installed() as server:
        yield server


@pytest.fixture
def fresh(server: PostgresServer) -> Iterator[ledger_stage.Place]:
    """An empty database."""
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def place(server: PostgresServer, places: ledger_stage.NewPlace) -> Iterator[ledger_stage.Place]:
    """A database with two accounts and their keys."""
    url = str(places())
    yield url
    server.drop(url)


@pytest.fixture(scope="session")
def places(server: PostgresServer) -> ledger_stage.NewPlace:
    prepared = server.create()
    ledger_stage.prepare(prepared)
    return functools.partial(server.create, plain(prepared).rpartition("/")[2])
