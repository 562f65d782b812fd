"""Who holds a key is known while the database is away, and nobody is let in who has no key any more."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from actors.database.holders import Holders
from cluster.errors import DatabaseRefused, DatabaseUnavailable
from cluster.ids import AccountId, KeyId
from cluster.messages.people import KeyLimits, Principal, SignedIn
from tests.support.plain_system import run

NOW = 1_800_000_000_000
ANN = Principal(AccountId("acct_ann"), KeyId("key_ann"), "member", KeyLimits())
BOB = Principal(AccountId("acct_bob"), KeyId("key_bob"), "admin", KeyLimits(), expires_ms=NOW + 1000)
EVER_S = 1000.0

Ask = Callable[[], Awaitable[list[Principal | None]]]


def keys(*names: str) -> list[SignedIn]:
    return [SignedIn(name) for name in names]


def says(*principals: Principal | None) -> Ask:
    async def ask() -> list[Principal | None]:
        return list(principals)

    return ask


def fails(error: Exception) -> Ask:
    async def ask() -> list[Principal | None]:
        raise error

    return ask


async def silent() -> list[Principal | None]:
    await asyncio.sleep(EVER_S)
    raise AssertionError("unreachable")


AWAY = fails(DatabaseUnavailable("connection refused"))


async def known(patience_s: float = 0.0) -> Holders:
    """Ann and Bob are known, as they are to whom the database has told of them."""
    holders = Holders(patience_s)
    assert await holders.find(keys("ann", "bob"), says(ANN, BOB), NOW) == [ANN, BOB]
    return holders


@pytest.mark.parametrize("ask", [AWAY, silent], ids=["away", "silent"])
def test_those_who_are_known_are_known_without_the_database(ask: Ask) -> None:
    async def scenario() -> None:
        holders = await known()
        assert await holders.find(keys("bob"), ask, NOW) == [BOB]
        assert await holders.find(keys("bob", "ann"), ask, NOW + 1000) == [None, ANN], "his time is over"
        assert await holders.find(keys(), ask, NOW) == []

    run(scenario())


def test_what_the_database_says_counts_when_it_answers_in_time() -> None:
    async def scenario() -> None:
        holders = await known(EVER_S)
        changed = Principal(ANN.account_id, ANN.key_id, "member", KeyLimits(reads_per_minute=1))
        assert await holders.find(keys("ann"), says(changed), NOW) == [changed]
        assert await holders.find(keys("ann"), says(None), NOW) == [None]
        with pytest.raises(DatabaseUnavailable):
            await holders.find(keys("ann"), AWAY, NOW)

    run(scenario())


@pytest.mark.parametrize("asked", [["carol"], ["ann", "carol"]])
def test_of_others_nothing_is_known(asked: Sequence[str]) -> None:
    async def scenario() -> None:
        with pytest.raises(DatabaseUnavailable):
            await (await known()).find(keys(*asked), AWAY, NOW)

    run(scenario())


def test_what_the_database_refuses_is_no_outage() -> None:
    async def scenario() -> None:
        with pytest.raises(DatabaseRefused):
            await (await known(EVER_S)).find(keys("ann"), fails(DatabaseRefused("no such table")), NOW)

    run(scenario())


def test_nothing_is_known_any_more_once_something_was_written() -> None:
    async def scenario() -> None:
        holders = await known()
        holders.forget()
        with pytest.raises(DatabaseUnavailable):
            await holders.find(keys("ann"), AWAY, NOW)

    run(scenario())


def test_what_was_read_before_a_write_is_not_remembered_after_it() -> None:
    async def scenario() -> None:
        holders, answer = Holders(0.0), asyncio.Event()

        async def late() -> list[Principal | None]:
            await answer.wait()
            return [ANN]

        reading = asyncio.create_task(holders.find(keys("ann"), late, NOW))
        await asyncio.sleep(0)
        holders.forget()
        answer.set()
        assert await reading == [ANN]
        with pytest.raises(DatabaseUnavailable):
            await holders.find(keys("ann"), AWAY, NOW)

    run(scenario())


def test_one_who_is_revoked_while_the_database_is_silent_is_waited_for() -> None:
    async def scenario() -> None:
        holders, answer = await known(EVER_S), asyncio.Event()

        async def late() -> list[Principal | None]:
            await answer.wait()
            return [None]

        reading = asyncio.create_task(holders.find(keys("ann"), late, NOW))
        await asyncio.sleep(0)
        holders.forget()
        answer.set()
        assert await reading == [None]

    run(scenario())


def test_only_so_many_are_remembered() -> None:
    async def scenario() -> None:
        holders = Holders(0.0, most_keys=2)
        for number in range(3):
            await holders.find(keys(f"key {number}"), says(ANN), NOW)
        assert await holders.find(keys("key 2"), AWAY, NOW) == [ANN]
        with pytest.raises(DatabaseUnavailable):
            await holders.find(keys("key 0"), AWAY, NOW)

    run(scenario())
