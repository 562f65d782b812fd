"""The actor that counts, without Ray."""

import asyncio
import gc
import logging
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.ledger import Ledger
from actors.rate_limiter import RateLimiter
from actors.wire.calls import Gone
from cluster.errors import DatabaseUnavailable
from cluster.ids import KeyId
from cluster.limits.windows import Bucket, Decision, Take
from cluster.messages.people import KeyLimits, WindowMark
from tests.support.clocks import StillClock
from tests.support.marks import Marks
from tests.support.plain_system import run, settled, until

HOUR_MS = 500_000 * 3_600_000
MINUTE_MS = 60_000
A, B = KeyId("key_a"), KeyId("key_b")


async def started(marks: object, clock: StillClock) -> RateLimiter:
    limiter = RateLimiter(cast(Ledger, marks), clock)
    await limiter.start()
    return limiter


def submission(key_id: KeyId, limits: KeyLimits | None = None, bucket: Bucket = "submissions") -> Take:
    return Take(key_id, bucket, limits or KeyLimits())


def read(key_id: KeyId) -> Take:
    return submission(key_id, bucket="reads")


def tokens(amount: int) -> Take:
    return Take(A, "tokens", KeyLimits(tokens_per_minute=1000), amount)


async def allowed(limiter: RateLimiter, *requests: Take) -> list[bool]:
    return [decision.allowed for decision in await limiter.take(requests)]


async def passed_of(limiter: RateLimiter, request: Take, times: int) -> int:
    """How many pass of so many that come one after the other."""
    return sum([(await limiter.take([request]))[0].allowed for _ in range(times)])


# Counting -----------------------------------------------------------------------------------------------------------


def test_of_200_simultaneous_submissions_through_4_replicas_60_pass() -> None:
    async def scenario() -> None:
        limiter = await started(Marks(), StillClock(HOUR_MS))
        batches = await asyncio.gather(*(limiter.take([submission(A)] * 50) for _ in range(4)))
        assert sum(decision.allowed for batch in batches for decision in batch) == 60

    run(scenario())


def test_a_batch_is_decided_in_its_order() -> None:
    async def scenario() -> None:
        tight = KeyLimits(submissions_per_minute=1)
        limiter = await started(Marks(), StillClock(HOUR_MS))
        batch = [submission(A, tight), submission(B, tight), submission(A, tight), submission(B, tight)]
        assert await allowed(limiter, *batch) == [True, True, False, False]
        assert await limiter.take([]) == []

    run(scenario())


def test_keys_and_buckets_do_not_share() -> None:
    async def scenario() -> None:
        tight = KeyLimits(submissions_per_minute=1, reads_per_minute=1, tokens_per_minute=1)
        limiter = await started(Marks(), StillClock(HOUR_MS))
        requests = [submission(A, tight), submission(A, tight, "reads"), submission(A, tight, "tokens")]
        assert await allowed(limiter, *requests, submission(B, tight)) == [True] * 4
        assert await allowed(limiter, *requests) == [False] * 3

    run(scenario())


def test_tokens_are_taken_as_many_at_a_time() -> None:
    async def scenario() -> None:
        limiter = await started(Marks(), StillClock(HOUR_MS))
        assert await allowed(limiter, tokens(700), tokens(400), tokens(300)) == [True, False, True]

    run(scenario())


def test_a_new_minute_and_a_new_hour_open_again() -> None:
    async def scenario() -> None:
        clock, limits = StillClock(HOUR_MS), KeyLimits(submissions_per_hour=61)
        limiter = await started(Marks(), clock)
        assert await passed_of(limiter, submission(A, limits), 61) == 60
        clock.ms += MINUTE_MS
        assert await allowed(limiter, submission(A, limits), submission(A, limits)) == [True, False]
        clock.ms += 59 * MINUTE_MS
        assert await allowed(limiter, submission(A, limits)) == [True]

    run(scenario())


def test_changed_limits_hold_at_once() -> None:
    async def scenario() -> None:
        limiter = await started(Marks(), StillClock(HOUR_MS))
        assert await allowed(limiter, submission(A), submission(A)) == [True, True]
        assert await allowed(limiter, submission(A, KeyLimits(submissions_per_minute=2))) == [False]
        assert await allowed(limiter, submission(A)) == [True]

    run(scenario())


def test_a_clock_set_back_across_a_minute_in_which_others_asked_opens_nothing() -> None:
    async def scenario() -> None:
        clock, tight = StillClock(HOUR_MS), KeyLimits(submissions_per_minute=1)
        limiter = await started(Marks(), clock)
        assert await allowed(limiter, submission(A, tight)) == [True]
        clock.ms += MINUTE_MS
        assert await allowed(limiter, submission(B, tight)) == [True]
        clock.ms -= 1
        assert await allowed(limiter, submission(A, tight)) == [False]

    run(scenario())


# Restarts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "ceiling"),
    [(submission(A), 60), (read(A), 600), (tokens(1), 1000)],
    ids=["submissions", "reads", "tokens"],
)
@pytest.mark.parametrize("before", [0, 1, 30, 59])
def test_a_crash_costs_at_most_a_block_and_gives_nothing(request_: Take, ceiling: int, before: int) -> None:
    async def scenario() -> None:
        marks, clock = Marks(), StillClock(HOUR_MS)
        passed = await passed_of(await started(marks, clock), request_, before)
        assert passed == before
        passed += await passed_of(await started(marks, clock), request_, ceiling + 1)
        assert ceiling - ceiling // 10 <= passed <= ceiling

    run(scenario())


def test_the_real_ledger_keeps_the_marks_across_its_own_restart(database: Path) -> None:
    async def scenario() -> None:
        clock, passed = StillClock(HOUR_MS), 0
        for _ in range(4):
            ledger = Ledger(f"sqlite:///{database}", None, KeyLimits(), clock)
            limiter = await started(ledger, clock)
            batches = await asyncio.gather(*(limiter.take([submission(A), read(A)] * 5) for _ in range(4)))
            passed += sum(decision.allowed for batch in batches for decision in batch[::2])
            await ledger.stop()
        assert 60 - 4 * 6 <= passed <= 60
        clock.ms += MINUTE_MS
        ledger = Ledger(f"sqlite:///{database}", None, KeyLimits(), clock)
        assert await passed_of(await started(ledger, clock), submission(A), 61) == 60
        await ledger.stop()

    run(scenario())


def test_a_planned_restart_costs_nothing() -> None:
    async def scenario() -> None:
        marks, clock = Marks(), StillClock(HOUR_MS)
        limiter = await started(marks, clock)
        for number in range(17):
            assert await allowed(limiter, submission(A), read(A), tokens(10 + number)) == [True] * 3
        await limiter.stop()
        assert (marks.used(A, "submissions"), marks.used(A, "submissions", 3600)) == (17, 17)
        assert (marks.used(A, "reads"), marks.used(A, "tokens")) == (17, sum(range(10, 27)))
        assert await passed_of(await started(marks, clock), submission(A), 100) == 43

    run(scenario())


def test_a_planned_restart_costs_nothing_with_the_real_ledger(database: Path) -> None:
    async def scenario() -> None:
        clock, passed = StillClock(HOUR_MS), 0
        for _ in range(4):
            ledger = Ledger(f"sqlite:///{database}", None, KeyLimits(), clock)
            limiter = await started(ledger, clock)
            passed += await passed_of(limiter, submission(A), 17)
            await limiter.stop()
            await ledger.stop()
        assert passed == 60

    run(scenario())


def test_what_passes_while_it_stops_is_written_too() -> None:
    async def scenario() -> None:
        marks, clock = Marks(), StillClock(HOUR_MS)
        limiter = await started(marks, clock)
        assert await passed_of(limiter, submission(A), 3) == 3
        marks.gate.clear()
        stopping = asyncio.create_task(limiter.stop())
        await until(lambda: marks.writes == 2, "the write of the exact counts")
        taking = asyncio.create_task(limiter.take([submission(A)] * 2))
        await settled()
        assert not taking.done()
        marks.gate.set()
        await asyncio.gather(stopping, taking)
        assert marks.used(A, "submissions") == 5

    run(scenario())


def test_an_answer_waits_until_a_mark_covers_it() -> None:
    async def scenario() -> None:
        marks = Marks()
        limiter = await started(marks, StillClock(HOUR_MS))
        marks.gate.clear()
        taking = asyncio.create_task(limiter.take([submission(A)]))
        await settled()
        assert (taking.done(), marks.kept) == (False, {})
        marks.gate.set()
        assert [decision.allowed for decision in await taking] == [True]
        assert (marks.used(A, "submissions"), marks.used(A, "submissions", 3600)) == (7, 11)

    run(scenario())


def test_an_answer_that_a_mark_covers_waits_for_nothing() -> None:
    async def scenario() -> None:
        marks = Marks()
        limiter = await started(marks, StillClock(HOUR_MS))
        assert await allowed(limiter, read(A)) == [True]
        marks.gate.clear()
        # The mark is at 11; it begins to move when 5 are left, and these do not wait for that.
        assert await passed_of(limiter, read(A), 10) == 10
        await settled()
        assert marks.writes == 2
        waiting = asyncio.create_task(limiter.take([read(A)]))
        await settled()
        assert not waiting.done()
        marks.gate.set()
        assert (await waiting)[0].remaining == 600 - 12

    run(scenario())


def test_a_full_minute_takes_few_writes() -> None:
    async def scenario() -> None:
        marks = Marks()
        limiter = await started(marks, StillClock(HOUR_MS))
        assert await passed_of(limiter, read(A), 700) == 600
        assert marks.writes <= 20
        assert marks.used(A, "reads") == 600

    run(scenario())


def test_refused_requests_need_no_mark() -> None:
    async def scenario() -> None:
        marks = Marks()
        limiter = await started(marks, StillClock(HOUR_MS))
        assert await passed_of(limiter, submission(A), 60) == 60
        writes = marks.writes
        marks.gate.clear()
        assert await passed_of(limiter, submission(A), 100) == 0
        assert marks.writes == writes

    run(scenario())


@pytest.mark.parametrize("error", [DatabaseUnavailable("database or disk is full"), Gone("ledger died")])
def test_reads_are_counted_here_alone_while_nothing_can_be_written(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        marks = Marks()
        marks.error = error
        limiter = await started(marks, StillClock(HOUR_MS))
        few = KeyLimits(reads_per_minute=3)
        reads = [await allowed(limiter, submission(A, few, "reads")) for _ in range(4)]
        assert reads == [[True], [True], [True], [False]]
        with pytest.raises(type(error)):
            await limiter.take([submission(A)])
        marks.error = None
        assert await allowed(limiter, read(B)) == [True]
        assert marks.used(B, "reads") > 0

    with caplog.at_level(logging.WARNING):
        run(scenario())
    told = f"marking what keys have read: {type(error).__name__}: {error}"
    assert caplog.messages.count(told) == 1
    assert caplog.messages[-1] == "marking what keys have read: works again"


def test_reads_do_not_wait_for_a_database_that_is_silent() -> None:
    async def scenario() -> None:
        marks = Marks()
        limiter = RateLimiter(cast(Ledger, marks), StillClock(HOUR_MS), reads_wait_s=0.0)
        await limiter.start()
        marks.gate.clear()
        assert await allowed(limiter, read(A), read(B)) == [True, True]
        marks.gate.set()
        await until(lambda: {key for key, *_ in marks.kept} == {A, B})

    run(scenario())


def test_a_mark_that_cannot_be_written_is_told_and_charged() -> None:
    async def scenario() -> None:
        marks = Marks()
        limiter = await started(marks, StillClock(HOUR_MS))
        marks.error = ConnectionError("the disk is full")
        with pytest.raises(ConnectionError):
            await limiter.take([submission(A)])
        marks.error = None
        assert [decision.remaining for decision in await limiter.take([submission(A)])] == [58]
        assert marks.used(A, "submissions") == 8

    run(scenario())


class Doomed:
    """The Ledger as one process of the limiter reaches it, until that process dies at one of its writes."""

    def __init__(self, marks: Marks, dies_at: int, landed: bool) -> None:
        self._marks = marks
        self._lives = dies_at
        self._landed = landed
        self.dead = asyncio.Event()

    async def window_marks(self) -> list[WindowMark]:
        return await self._marks.window_marks()

    async def mark_windows(self, marks: Sequence[WindowMark]) -> None:
        await asyncio.sleep(0)
        self._lives -= 1
        if self._lives >= 0 or self._landed:
            await self._marks.mark_windows(marks)
        if self._lives < 0:
            self.dead.set()
            await asyncio.Event().wait()


async def answered(limiter: RateLimiter, requests: list[Take], ledger: Doomed) -> list[Decision] | None:
    """The answer, or None when the limiter dies first."""
    taking, death = asyncio.create_task(limiter.take(requests)), asyncio.create_task(ledger.dead.wait())
    await asyncio.wait({taking, death}, return_when=asyncio.FIRST_COMPLETED)
    death.cancel()
    if taking.done():
        return taking.result()
    taking.cancel()
    return None


@settings(max_examples=20)
@given(
    request_=st.sampled_from([(submission(A), 60), (read(A), 600), (tokens(7), 1000), (tokens(130), 1000)]),
    deaths=st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=5),
    batch_sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4),
)
def test_killed_at_any_write_it_never_lets_more_than_the_ceiling_through(
    request_: tuple[Take, int], deaths: list[tuple[int, bool]], batch_sizes: list[int]
) -> None:
    async def scenario() -> None:
        request, ceiling = request_
        marks, clock, passed = Marks(), StillClock(HOUR_MS), 0
        for dies_at, landed in [*deaths, (10_000, True)]:
            ledger = Doomed(marks, dies_at, landed)
            limiter = await started(ledger, clock)

            async def caller(size: int, limiter: RateLimiter = limiter, ledger: Doomed = ledger) -> int:
                passed = 0
                for _ in range(2 * ceiling // size):
                    decisions = await answered(limiter, [request] * size, ledger)
                    if decisions is None:
                        return passed
                    passed += sum(decision.allowed for decision in decisions)
                return passed

            passed += sum(await asyncio.gather(*map(caller, batch_sizes)))
        assert passed * request.amount <= ceiling
        if not deaths:
            assert passed == ceiling // request.amount

    run(scenario())


def test_memory_stays_flat_however_many_keys_come_by() -> None:
    clock = StillClock(HOUR_MS)

    class Forgetful(Marks):
        async def mark_windows(self, marks: Sequence[WindowMark]) -> None:
            return

    async def hour(limiter: RateLimiter, number: int) -> None:
        for minute in range(60):
            clock.ms = HOUR_MS + (number * 60 + minute) * MINUTE_MS
            keys = [KeyId(f"key_{number}_{minute}_{n}") for n in range(10)]
            await limiter.take([submission(key, bucket="reads") for key in keys])
            await limiter.take([submission(key) for key in keys])

    async def size_after(limiter: RateLimiter, hours: range) -> int:
        for number in hours:
            await hour(limiter, number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async def scenario() -> tuple[int, int]:
        limiter = await started(Forgetful(), clock)
        return await size_after(limiter, range(1, 2)), await size_after(limiter, range(2, 5))

    tracemalloc.start()
    early, late = asyncio.run(scenario())
    tracemalloc.stop()
    assert late < early * 1.2
