"""The actor that counts requests, without Ray."""

import asyncio
import gc
import tracemalloc

from actors.rate_limiter import RateLimiter
from cluster.ids import KeyId
from cluster.limits import Bucket, Decision, Take
from cluster.messages import KeyLimits

HOUR_MS = 500_000 * 3_600_000
MINUTE_MS = 60_000
A, B = KeyId("key_a"), KeyId("key_b")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = HOUR_MS

    def __call__(self) -> int:
        return self.now_ms


def submission(key_id: KeyId, limits: KeyLimits | None = None, bucket: Bucket = "submissions") -> Take:
    return Take(key_id, bucket, limits or KeyLimits())


def take(limiter: RateLimiter, *requests: Take) -> list[Decision]:
    return asyncio.run(limiter.take(requests))


def allowed(limiter: RateLimiter, *requests: Take) -> list[bool]:
    return [decision.allowed for decision in take(limiter, *requests)]


def test_of_200_simultaneous_submissions_through_4_replicas_60_pass() -> None:
    limiter = RateLimiter({}, Clock())

    async def scenario() -> list[list[Decision]]:
        return await asyncio.gather(*(limiter.take([submission(A)] * 50) for _ in range(4)))

    batches = asyncio.run(scenario())
    assert sum(decision.allowed for batch in batches for decision in batch) == 60


def test_a_batch_is_decided_in_its_order() -> None:
    tight = KeyLimits(submissions_per_minute=1)
    limiter = RateLimiter({}, Clock())
    batch = [submission(A, tight), submission(B, tight), submission(A, tight), submission(B, tight)]
    assert allowed(limiter, *batch) == [True, True, False, False]
    assert take(limiter) == []


def test_keys_and_buckets_do_not_share() -> None:
    tight = KeyLimits(submissions_per_minute=1, reads_per_minute=1)
    limiter = RateLimiter({}, Clock())
    assert allowed(limiter, submission(A, tight), submission(A, tight, "reads"), submission(B, tight)) == [True] * 3
    assert allowed(limiter, submission(A, tight), submission(A, tight, "reads")) == [False] * 2


def test_submissions_from_before_a_restart_count() -> None:
    clock = Clock()
    limiter = RateLimiter({A: (59, 999)}, clock)
    assert allowed(limiter, submission(A), submission(A), submission(B)) == [True, False, True]
    clock.now_ms += MINUTE_MS
    decision = take(limiter, submission(A))[0]
    assert (decision.allowed, decision.limit, decision.reset_s) == (False, 1000, HOUR_MS // 1000 + 3600)


def test_a_new_minute_and_a_new_hour_open_again() -> None:
    clock = Clock()
    limiter = RateLimiter({A: (60, 999)}, clock)
    assert allowed(limiter, submission(A)) == [False]
    clock.now_ms += MINUTE_MS
    assert allowed(limiter, submission(A), submission(A)) == [True, False]
    clock.now_ms += 59 * MINUTE_MS
    assert allowed(limiter, submission(A)) == [True]


def test_changed_limits_hold_at_once() -> None:
    limiter = RateLimiter({}, Clock())
    assert allowed(limiter, submission(A), submission(A)) == [True, True]
    assert allowed(limiter, submission(A, KeyLimits(submissions_per_minute=2))) == [False]


def test_memory_stays_flat_however_many_keys_come_by() -> None:
    clock = Clock()
    limiter = RateLimiter({KeyId(f"key_{n}"): (1, 1) for n in range(200)}, clock)

    async def hour(number: int) -> None:
        for minute in range(60):
            clock.now_ms = HOUR_MS + (number * 60 + minute) * MINUTE_MS
            keys = [KeyId(f"key_{number}_{minute}_{n}") for n in range(10)]
            await limiter.take([submission(key, bucket="reads") for key in keys])
            await limiter.take([submission(key) for key in keys])

    async def size_after(hours: range) -> int:
        for number in hours:
            await hour(number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async def scenario() -> tuple[int, int]:
        return await size_after(range(1, 2)), await size_after(range(2, 5))

    tracemalloc.start()
    early, late = asyncio.run(scenario())
    tracemalloc.stop()
    assert late < early * 1.2
