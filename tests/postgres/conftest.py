"""The Ledger and its store on PostgreSQL: one server for the session, and a database of its own for each test."""

import functools
from collections.abc import Iterator

import pytest

from tests.support import ledger_stage
from tests.support.fixtures import no_ray, place
from tests.support.postgres import PostgresServer, plain

__all__ = ["no_ray", "place"]


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with PostgresServer.installed() as server:
        yield server


@pytest.fixture
def fresh(server: PostgresServer) -> ledger_stage.Place:
    """An empty database."""
    return server.create()


@pytest.fixture(scope="session")
def places(server: PostgresServer) -> ledger_stage.NewPlace:
    prepared = server.create()
    ledger_stage.prepare(prepared)
    return functools.partial(server.create, plain(prepared).rpartition("/")[2])
