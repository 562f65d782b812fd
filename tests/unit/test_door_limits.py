"""How many connections the door holds: what the settings ask for, as far as files can be open."""

import pytest

from api.cli.run.door.limits import Limits
from cluster.settings.sections.server import Server

MANY = 1 << 20


def test_where_files_suffice_it_is_as_set_and_there_is_nothing_to_tell() -> None:
    limits = Limits.of(Server(max_connections=30_000), MANY)
    assert (limits.connections, limits.of_one_address) == (30_000, 15_000)
    assert limits.shortage is None


def test_by_default_twenty_thousand_streams_have_room_and_one_address_leaves_as_many_to_others() -> None:
    limits = Limits.of(Server(), MANY)
    assert limits.connections - limits.of_one_address >= 20_000


def test_where_files_do_not_suffice_it_is_told_how_many_do() -> None:
    limits = Limits.of(Server(max_connections=30_000), 21_000)
    assert limits.connections == 10_000
    assert limits.shortage == (
        "no more than 10000 connections can be open at once, not 30000 (server.max_connections): "
        "that takes 61000 open files (`ulimit -n`, LimitNOFILE=)"
    )
    assert Limits.of(Server(max_connections=30_000), 61_000).shortage is None


@pytest.mark.parametrize(("asked", "given"), [(None, 500), (7, 7), (1_000, 1_000), (5_000, 1_000)])
def test_of_one_address_half_or_as_many_as_is_said(asked: int | None, given: int) -> None:
    server = Server(max_connections=1_000, max_connections_per_address=asked)
    assert Limits.of(server, MANY).of_one_address == given


@pytest.mark.parametrize("files", [0, 256, 1_002])
def test_one_gets_in_however_few_files_there_are(files: int) -> None:
    limits = Limits.of(Server(), files)
    assert (limits.connections, limits.of_one_address) == (1, 1)
