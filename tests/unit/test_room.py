"""Room for large requests: no account has so much of it that others have none."""

import asyncio

import pytest

from api.replica.room import Room
from cluster.errors import NoCapacity
from cluster.ids import AccountId
from tests.support.plain_system import run, settled

A, B, C, D, E = (AccountId(name) for name in "ABCDE")
LARGEST = 10


def test_an_account_has_a_quarter_and_others_pass_it() -> None:
    async def scenario() -> None:
        room = Room(LARGEST)
        held = [await room.take(A, LARGEST) for _ in range(4)]
        fifth = asyncio.create_task(room.take(A, 1))
        await room.take(B, LARGEST)
        assert not fifth.done()
        held[0].give_back()
        await fifth

    run(scenario())


def test_all_together_have_no_more_than_there_is() -> None:
    async def scenario() -> None:
        room = Room(LARGEST)
        held = [await room.take(account, LARGEST) for account in (A, B, C, D) for _ in range(4)]
        fifth = asyncio.create_task(room.take(E, LARGEST))
        await settled()
        assert not fifth.done()
        held[0].give_back()
        held[0].give_back()  # again, and nothing more is free
        await fifth
        sixth = asyncio.create_task(room.take(E, LARGEST))
        await settled()
        assert not sixth.done()
        sixth.cancel()

    run(scenario())


def test_who_waits_for_too_long_is_refused_and_takes_nothing() -> None:
    async def scenario() -> None:
        room = Room(LARGEST, patience_s=0.0)
        held = [await room.take(A, LARGEST) for _ in range(4)]
        with pytest.raises(NoCapacity):
            await room.take(A, LARGEST)
        for each in held:
            each.give_back()
        assert len([await room.take(A, LARGEST) for _ in range(4)]) == 4

    run(scenario())


def test_who_leaves_makes_way_for_the_next() -> None:
    async def scenario() -> None:
        room = Room(LARGEST)
        held = [await room.take(A, LARGEST) for _ in range(4)]
        leaving = asyncio.create_task(room.take(A, LARGEST))
        staying = asyncio.create_task(room.take(A, LARGEST))
        await settled()
        leaving.cancel()
        await settled()
        held[0].give_back()
        await staying

    run(scenario())
