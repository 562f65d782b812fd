"""Who holds a key, remembered for a moment."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from api.replica.principals import Principals
from cluster.errors import Unauthorized
from cluster.ids import AccountId, KeyId
from cluster.keys import new_secret, secret_hash
from cluster.messages.people import KeyLimits, Principal, SignedIn
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import run, settled

NOW_MS = 1_000_000
REMEMBER_S, RENEW_S = Timing().key_remembered_s, Timing().key_renewed_s
HOLDER = Principal(AccountId("a"), KeyId("k"), "member", KeyLimits())


class PlainLedger:
    def __init__(self, principal: Principal | None) -> None:
        self.principal = principal
        self.unknown: set[str] = set()
        self.ended: set[SignedIn] = set()
        self.failures: list[Exception] = []
        self.asked = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def principals(self, shown: Sequence[SignedIn]) -> list[Principal | None]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop()
        await self.answering.wait()
        return [
            self.principal if each.key_hash not in self.unknown and each not in self.ended else None for each in shown
        ]


def test_a_remembered_key_ends_on_time() -> None:
    ledger: Any = PlainLedger(Principal(AccountId("a"), KeyId("k"), "member", KeyLimits(), expires_ms=NOW_MS))
    clock = StillClock(ms=NOW_MS - 1)
    known = Principals(ledger, clock)

    async def scenario() -> None:
        assert await known.find("inft_x") == ledger.principal
        clock.advance(0.001)
        with pytest.raises(Unauthorized):
            await known.find("inft_x")
        assert ledger.asked == 1

    run(scenario())


@pytest.mark.parametrize("holder", [None, HOLDER])
def test_what_the_ledger_said_is_remembered_for_four_seconds(holder: Principal | None) -> None:
    ledger: Any = PlainLedger(holder)
    clock = StillClock(ms=NOW_MS)
    known = Principals(ledger, clock)

    async def found() -> Principal | None:
        try:
            return await known.find("inft_x")
        except Unauthorized:
            return None

    async def scenario() -> None:
        for passed_s, asked in ((0.0, 1), (RENEW_S - 0.5, 1), (REMEMBER_S - RENEW_S + 0.5, 2)):
            clock.advance(passed_s)
            assert await found() == holder
            assert ledger.asked == asked

    run(scenario())


def test_a_key_in_use_is_asked_for_again_before_it_is_forgotten() -> None:
    ledger: Any = PlainLedger(HOLDER)
    clock = StillClock(ms=NOW_MS)
    known = Principals(ledger, clock)

    async def scenario() -> None:
        assert await known.find("inft_x") == HOLDER
        ledger.answering.clear()
        ledger.principal = None
        clock.advance(RENEW_S)
        assert [await known.find("inft_x"), await known.find("inft_x")] == [HOLDER, HOLDER]
        await settled()
        assert ledger.asked == 2
        ledger.answering.set()
        await settled()
        with pytest.raises(Unauthorized):
            await known.find("inft_x")
        assert ledger.asked == 2

    run(scenario())


def test_many_at_once_ask_once_and_one_that_leaves_disturbs_no_other() -> None:
    ledger: Any = PlainLedger(HOLDER)
    known = Principals(ledger)

    async def scenario() -> None:
        ledger.answering.clear()
        waiting = [asyncio.create_task(known.find("inft_x")) for _ in range(20)]
        await settled()
        waiting[0].cancel()
        await settled()
        ledger.answering.set()
        assert await asyncio.gather(*waiting[1:]) == [HOLDER] * 19
        assert ledger.asked == 1

    run(scenario())


def test_many_keys_at_once_are_asked_about_in_one_call() -> None:
    ledger: Any = PlainLedger(HOLDER)
    known = Principals(ledger)

    async def scenario() -> None:
        ledger.answering.clear()
        finding = [asyncio.create_task(known.find(new_secret())) for _ in range(1000)]
        await settled()
        ledger.answering.set()
        assert await asyncio.gather(*finding) == [HOLDER] * 1000
        assert ledger.asked <= 4  # the first alone, then as many as fit into one call

    run(scenario())


def test_a_flood_of_tokens_that_nobody_holds_makes_no_key_forgotten() -> None:
    ledger: Any = PlainLedger(HOLDER)
    unknown = [f"inft_{number}" for number in range(20)]
    ledger.unknown = {secret_hash(token) for token in unknown}
    known = Principals(ledger, most_keys=5)

    async def scenario() -> None:
        assert await known.find("inft_x") == HOLDER
        for token in unknown:
            with pytest.raises(Unauthorized):
                await known.find(token)
        asked = ledger.asked
        assert await known.find("inft_x") == HOLDER
        assert ledger.asked == asked

    run(scenario())


def test_a_token_with_a_wrong_checksum_is_asked_about_by_nobody() -> None:
    ledger: Any = PlainLedger(HOLDER)
    known = Principals(ledger)

    async def scenario() -> None:
        for number in range(100):
            with pytest.raises(Unauthorized):
                await known.find(f"inft_{number:038}")
        assert ledger.asked == 0
        assert await known.find(new_secret()) == HOLDER
        assert ledger.asked == 1

    run(scenario())


class SlowAboutMany(PlainLedger):
    """Answers at once only where it is asked about one key."""

    async def principals(self, shown: Sequence[SignedIn]) -> list[Principal | None]:
        if len(shown) > 1:
            await self.answering.wait()
        return [self.principal for _ in shown]


def test_a_key_does_not_wait_behind_tokens_that_may_be_made_up() -> None:
    ledger: Any = SlowAboutMany(HOLDER)
    clock = StillClock(ms=NOW_MS)
    known = Principals(ledger, clock)

    async def scenario() -> None:
        old = "inft_" + "o" * 32
        assert await known.find(old) == HOLDER
        ledger.answering.clear()
        doubtful = [asyncio.create_task(known.find(f"inft_{number:032}")) for number in range(1000)]
        await settled()
        assert await known.find(new_secret()) == HOLDER
        # One that was found before is not doubtful any more, though it has no checksum.
        clock.advance(REMEMBER_S)
        assert await known.find(old) == HOLDER
        assert not all(task.done() for task in doubtful)
        ledger.answering.set()
        await asyncio.gather(*doubtful)

    run(scenario())


def test_a_ledger_that_fails_is_asked_again() -> None:
    ledger: Any = PlainLedger(HOLDER)
    known = Principals(ledger)

    async def scenario() -> None:
        ledger.failures.append(ConnectionError())
        with pytest.raises(ConnectionError):
            await known.find("inft_x")
        assert await known.find("inft_x") == HOLDER

    run(scenario())


def test_an_ended_session_is_refused_when_what_was_known_of_it_is_over() -> None:
    """Within 5 s, however busy it is."""
    ledger: Any = PlainLedger(HOLDER)
    clock = StillClock(ms=NOW_MS)
    known = Principals(ledger, clock)
    one, other = SignedIn("hash", "one"), SignedIn("hash", "other")

    async def is_known(session: SignedIn) -> bool:
        try:
            return await known.signed_in(session) == HOLDER
        except Unauthorized:
            return False

    async def scenario() -> None:
        assert await is_known(one) and await is_known(other)
        ledger.ended.add(one)
        for _ in range(4):
            clock.advance(1)
            await is_known(one)
        assert not await is_known(one)
        assert await is_known(other)

    run(scenario())


def test_a_session_has_what_its_key_has_by_now() -> None:
    ledger: Any = PlainLedger(Principal(AccountId("a"), KeyId("k"), "admin", KeyLimits()))
    clock = StillClock(ms=NOW_MS)
    known = Principals(ledger, clock)

    async def scenario() -> None:
        assert (await known.signed_in(SignedIn("hash", "one"))).role == "admin"
        ledger.principal = HOLDER
        clock.advance(REMEMBER_S)
        assert (await known.signed_in(SignedIn("hash", "one"))).role == "member"

    run(scenario())


def test_what_is_ended_here_is_forgotten_here_at_once() -> None:
    ledger: Any = PlainLedger(HOLDER)
    known = Principals(ledger, StillClock(ms=NOW_MS))
    session = SignedIn("hash", "one")

    async def scenario() -> None:
        await known.signed_in(session)
        ledger.ended.add(session)
        known.forget(session)
        with pytest.raises(Unauthorized):
            await known.signed_in(session)

    run(scenario())
