"""What an ingress replica lets through without asking, and that a key never gets more for it."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from msgspec.structs import replace

from actors.ledger import Ledger
from actors.rate_limiter import RateLimiter
from api.replica.allowances import Allowances
from cluster.ids import AccountId, KeyId
from cluster.limits.windows import MOST_SPARE, SPARE_SHARE, Decision, Take
from cluster.messages.money import Usage
from cluster.messages.people import KeyLimits, Principal
from tests.support.clocks import StillClock
from tests.support.marks import Marks
from tests.support.plain_system import run, settled

MINUTE_MS = 60_000
LARGE = KeyLimits(submissions_per_minute=200_000, submissions_per_hour=10_000_000)


def principal(limits: KeyLimits, key: str = "key_a") -> Principal:
    return Principal(AccountId("account"), KeyId(key), "member", limits)


class Stage:
    """One RateLimiter, some replicas, and a clock that both kinds go by."""

    def __init__(self, replicas: int = 1, most_keys: int = 100) -> None:
        self.clock = StillClock(MINUTE_MS)
        self.marks = Marks()
        self.calls: list[int] = []
        self.decisions: list[Decision] = []
        self.limiter = RateLimiter(cast(Ledger, self.marks), self.clock)
        self.replicas = [Allowances(cast(RateLimiter, self), self.clock, most_keys) for _ in range(replicas)]

    async def take(self, requests: Sequence[Take]) -> list[Decision]:
        self.calls.append(len(requests))
        decisions = await self.limiter.take(requests)
        self.decisions += decisions
        return decisions


def test_a_key_with_large_limits_is_asked_about_once_in_a_while() -> None:
    async def scenario() -> None:
        stage = Stage()
        decisions = [await stage.replicas[0].charge(principal(LARGE), "submissions") for _ in range(MOST_SPARE + 2)]
        assert stage.calls == [1, 1]
        assert all(decision.allowed and not decision.spare for decision in decisions[1:-1])
        # As if the RateLimiter had been asked about each.
        assert [decision.remaining for decision in decisions] == [199_999 - n for n in range(MOST_SPARE + 2)]

    run(scenario())


def test_what_is_let_through_without_asking_is_marked_for_good() -> None:
    async def scenario() -> None:
        stage = Stage()
        await stage.replicas[0].charge(principal(LARGE), "submissions")
        assert stage.marks.used(KeyId("key_a"), "submissions") >= MOST_SPARE + 1

    run(scenario())


def test_near_its_ceiling_a_key_is_asked_about_each_time_to_the_last() -> None:
    async def scenario() -> None:
        stage = Stage(replicas=4)
        small = principal(KeyLimits(submissions_per_minute=60))
        takes = [replica.charge(small, "submissions") for replica in stage.replicas for _ in range(50)]
        decisions = await asyncio.gather(*takes)
        assert sum(decision.allowed for decision in decisions) == 60
        assert not any(decision.spare for decision in decisions)

    run(scenario())


def test_a_key_never_gets_more_than_its_ceiling_and_all_but_a_thousandth() -> None:
    async def scenario() -> None:
        stage = Stage(replicas=3)
        caller = principal(KeyLimits(submissions_per_minute=5000, submissions_per_hour=100_000))
        passed = 0
        for turn in range(6000):
            passed += (await stage.replicas[turn % 3].charge(caller, "submissions")).allowed
        assert 5000 - 3 * 5000 // SPARE_SHARE <= passed <= 5000

    run(scenario())


def test_requests_paid_ahead_end_with_their_window() -> None:
    async def scenario() -> None:
        stage = Stage()
        [replica], caller = stage.replicas, principal(LARGE)
        stage.clock.advance(59.5)
        await replica.charge(caller, "submissions")
        stage.clock.advance(0.499)
        assert (await replica.charge(caller, "submissions")).remaining == 199_998
        stage.clock.advance(0.001)
        assert (await replica.charge(caller, "submissions")).remaining == 199_999
        assert stage.calls == [1, 1]

    run(scenario())


def test_many_at_once_pay_ahead_once() -> None:
    async def scenario() -> None:
        stage = Stage()
        decisions = await asyncio.gather(
            *(stage.replicas[0].charge(principal(LARGE), "submissions") for _ in range(40))
        )
        assert sum(decision.spare for decision in decisions) <= 2 * MOST_SPARE
        assert len(stage.calls) <= 2

    run(scenario())


class Generous:
    """A RateLimiter that has each call pay 3 requests ahead, good for the times given. It waits for `answering`."""

    def __init__(self, *spare_ms: int) -> None:
        self._spare_ms = iter(spare_ms)
        self.calls = 0
        self.answering = asyncio.Event()

    async def take(self, requests: Sequence[Take]) -> list[Decision]:
        self.calls += 1
        await self.answering.wait()
        passed = Decision(True, 1000, 900, 0, 0)
        return [replace(passed, spare=3, spare_ms=next(self._spare_ms)), *([passed] * (len(requests) - 1))]


async def pay_ahead_twice(limiter: Generous, replica: Allowances, caller: Principal) -> None:
    """Two requests, the second one made while the first waits for its answer."""
    charging = []
    for _ in range(2):
        charging.append(asyncio.create_task(replica.charge(caller, "reads")))
        await settled()
    limiter.answering.set()
    await asyncio.gather(*charging)
    assert limiter.calls == 2


@pytest.mark.parametrize("spare_ms", [(1000, 60_000), (60_000, 1000)])
def test_what_was_paid_ahead_twice_ends_when_the_first_of_it_does(spare_ms: tuple[int, int]) -> None:
    async def scenario() -> None:
        limiter, clock, caller = Generous(*spare_ms, 1000), StillClock(), principal(LARGE)
        replica = Allowances(cast(RateLimiter, limiter), clock)
        await pay_ahead_twice(limiter, replica, caller)
        clock.advance(0.5)
        await replica.charge(caller, "reads")
        assert limiter.calls == 2
        clock.advance(0.5)
        await replica.charge(caller, "reads")
        assert limiter.calls == 3

    run(scenario())


def test_what_was_paid_ahead_twice_is_good_for_all_of_it() -> None:
    async def scenario() -> None:
        limiter, caller = Generous(1000, 1000, 1000), principal(LARGE)
        replica = Allowances(cast(RateLimiter, limiter), StillClock())
        await pay_ahead_twice(limiter, replica, caller)
        for _ in range(6):
            await replica.charge(caller, "reads")
        assert limiter.calls == 2
        await replica.charge(caller, "reads")
        assert limiter.calls == 3

    run(scenario())


def test_keys_and_buckets_have_their_own_and_tokens_none() -> None:
    async def scenario() -> None:
        stage = Stage()
        [replica] = stage.replicas
        limits = KeyLimits(200_000, 10_000_000, 200_000, tokens_per_minute=200_000)
        for caller in (principal(limits), principal(limits, "key_b")):
            await replica.charge(caller, "submissions")
            await replica.charge(caller, "reads")
            await replica.charge_tokens(caller, Usage(3, 4))
            await replica.charge_tokens(caller, Usage(7, 0))
            assert stage.decisions[-1].remaining == 199_986
        assert len(stage.calls) == 8

    run(scenario())


def test_a_replica_does_not_remember_keys_without_bound() -> None:
    async def scenario() -> None:
        stage = Stage(most_keys=3)
        for key in (*range(5), *range(5)):
            await stage.replicas[0].charge(principal(LARGE, f"key_{key}"), "submissions")
        assert len(stage.calls) >= 5 + (5 - 3)

    run(scenario())


def test_what_was_paid_ahead_lets_nobody_through_under_other_limits() -> None:
    async def scenario() -> None:
        stage = Stage()
        [replica] = stage.replicas
        await replica.charge(principal(LARGE), "submissions")
        small = principal(KeyLimits(submissions_per_minute=60))
        refused = [await replica.charge(small, "submissions") for _ in range(3)]
        assert not any(decision.allowed for decision in refused)
        assert (await replica.charge(principal(LARGE), "submissions")).allowed

    run(scenario())
