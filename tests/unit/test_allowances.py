"""What an ingress replica lets through without asking, and that a key never gets more for it."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from actors.ledger import Ledger
from actors.rate_limiter import RateLimiter
from api.replica import allowances
from api.replica.allowances import Allowances
from cluster.ids import AccountId, KeyId
from cluster.limits.windows import MOST_SPARE, SPARE_SHARE, Decision, Take
from cluster.messages.people import KeyLimits, Principal
from tests.support.plain_system import run
from tests.unit.test_rate_limiter import MINUTE_MS, Clock, Marks

LARGE = KeyLimits(submissions_per_minute=200_000, submissions_per_hour=10_000_000)


def principal(limits: KeyLimits, key: str = "key_a") -> Principal:
    return Principal(AccountId("account"), KeyId(key), "member", limits)


class Stage:
    """One RateLimiter, some replicas, and a clock that both kinds go by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, replicas: int = 1) -> None:
        self.clock = Clock()
        self.marks = Marks()
        self.calls: list[int] = []
        self.limiter = RateLimiter(cast(Ledger, self.marks), self.clock)
        self.replicas = [Allowances(cast(RateLimiter, self)) for _ in range(replicas)]
        monkeypatch.setattr(allowances, "monotonic_s", lambda: self.clock.now_ms / 1000)

    async def take(self, requests: Sequence[Take]) -> list[Decision]:
        self.calls.append(len(requests))
        return await self.limiter.take(requests)


def test_a_key_with_large_limits_is_asked_about_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        decisions = [await stage.replicas[0].take(principal(LARGE), "submissions") for _ in range(MOST_SPARE + 2)]
        assert stage.calls == [1, 1]
        assert all(decision.allowed and not decision.spare for decision in decisions[1:-1])
        # As if the RateLimiter had been asked about each.
        assert [decision.remaining for decision in decisions] == [199_999 - n for n in range(MOST_SPARE + 2)]

    run(scenario())


def test_what_is_let_through_without_asking_is_marked_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        await stage.replicas[0].take(principal(LARGE), "submissions")
        assert stage.marks.used(KeyId("key_a"), "submissions") >= MOST_SPARE + 1

    run(scenario())


def test_near_its_ceiling_a_key_is_asked_about_each_time_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch, replicas=4)
        small = principal(KeyLimits(submissions_per_minute=60))
        takes = [replica.take(small, "submissions") for replica in stage.replicas for _ in range(50)]
        decisions = await asyncio.gather(*takes)
        assert sum(decision.allowed for decision in decisions) == 60
        assert not any(decision.spare for decision in decisions)

    run(scenario())


def test_a_key_never_gets_more_than_its_ceiling_and_all_but_a_thousandth(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch, replicas=3)
        caller = principal(KeyLimits(submissions_per_minute=5000, submissions_per_hour=100_000))
        passed = 0
        for turn in range(6000):
            passed += (await stage.replicas[turn % 3].take(caller, "submissions")).allowed
        assert 5000 - 3 * 5000 // SPARE_SHARE <= passed <= 5000

    run(scenario())


def test_spare_takes_end_with_their_window(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        [replica], caller = stage.replicas, principal(LARGE)
        stage.clock.now_ms += MINUTE_MS - 500
        await replica.take(caller, "submissions")
        stage.clock.now_ms += 499
        assert (await replica.take(caller, "submissions")).remaining == 199_998
        stage.clock.now_ms += 1
        assert (await replica.take(caller, "submissions")).remaining == 199_999
        assert stage.calls == [1, 1]

    run(scenario())


def test_many_at_once_are_given_spare_takes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        decisions = await asyncio.gather(*(stage.replicas[0].take(principal(LARGE), "submissions") for _ in range(40)))
        assert sum(decision.spare for decision in decisions) <= 2 * MOST_SPARE
        assert len(stage.calls) <= 2

    run(scenario())


def test_keys_and_buckets_have_their_own_and_tokens_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        stage = Stage(monkeypatch)
        [replica] = stage.replicas
        limits = KeyLimits(200_000, 10_000_000, 200_000, tokens_per_minute=200_000)
        for caller in (principal(limits), principal(limits, "key_b")):
            await replica.take(caller, "submissions")
            await replica.take(caller, "reads")
            assert (await replica.take_tokens(caller, 7)).remaining == 199_993
            assert (await replica.take_tokens(caller, 7)).remaining == 199_986
        assert len(stage.calls) == 8

    run(scenario())


def test_a_replica_does_not_remember_keys_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(allowances, "_MOST", 3)
        stage = Stage(monkeypatch)
        for key in range(5):
            await stage.replicas[0].take(principal(LARGE, f"key_{key}"), "submissions")
        assert len(stage.replicas[0]._spares) <= 3

    run(scenario())
