"""What the Ledger adds up: usage and its cost, and the marks of rate windows."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from actors.ledger import Ledger
from cluster.catalogue import Price
from cluster.ids import KeyId
from cluster.limits import pricing
from cluster.messages.money import Rates, Usage, UsageQuery, UsageSum
from cluster.messages.people import NewKey, WindowMark
from cluster.store.database import Database
from tests.support.ledger_stage import (
    ADMIN,
    NOW,
    OUR_KEY,
    OURS,
    THEIRS,
    Clock,
    Place,
    completed,
    create,
    job,
    url,
    with_ledger,
)

DAY_MS = 86_400_000
MIDNIGHT = NOW - NOW % DAY_MS
FREE = Rates()


def test_usage_is_added_up_by_key_model_or_day(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        second = KeyId("key_second")
        await ledger.create_key(ADMIN, NewKey(second, OURS, "second", "inft_" + "2" * 32, "member", NOW))
        jobs = [
            job(MIDNIGHT - 2_001, model="a", rates=Rates(1_000_000, 10_000_000)),  # ends before midnight
            job(MIDNIGHT - 2_000, model="b", rates=Rates(1, 0), key_id=second),
            job(MIDNIGHT, model="a", rates=FREE, key_id=second),
            job(MIDNIGHT, model="a", account=THEIRS),
        ]
        await create(ledger, *jobs, job())
        await ledger.finish([completed(one, tokens=tokens) for one, tokens in zip(jobs, (1, 2, 3, 4), strict=True)])

        async def sums(group_by: str | None = None, since: int | None = None, until: int | None = None) -> object:
            return await ledger.usage(UsageQuery(OURS, since, until, (group_by,) if group_by else ()))  # type: ignore[arg-type]

        assert await sums() == [UsageSum((), 3, 9, 6, 13 + 1)]
        assert await sums("key") == [UsageSum((OUR_KEY,), 1, 3, 1, 13), UsageSum((second,), 2, 6, 5, 1)]
        assert await sums("model") == [UsageSum(("a",), 2, 6, 4, 13), UsageSum(("b",), 1, 3, 2, 1)]
        assert await sums("day") == [UsageSum(("2027-01-14",), 1, 3, 1, 13), UsageSum(("2027-01-15",), 2, 6, 5, 1)]
        assert await sums("day", until=MIDNIGHT) == [UsageSum(("2027-01-14",), 1, 3, 1, 13)]
        assert await sums("model", since=MIDNIGHT, until=MIDNIGHT + 2_000) == [UsageSum(("b",), 1, 3, 2, 1)]
        assert await sums(since=NOW) == [UsageSum((), 0, 0, 0, 0)]
        assert await sums("day", since=NOW) == []

    with_ledger(place, scenario)


def test_usage_is_found_by_its_index(place: Place) -> None:
    database = Database(url(place))
    plan = "EXPLAIN QUERY PLAN SELECT sum(cost) FROM usage WHERE account_id = 'a' AND ended_ms >= 1 AND ended_ms < 2"
    (step,) = database.read(lambda connection: connection.execute(text(plan)).all())
    assert "USING INDEX usage_of_account (account_id=? AND ended_ms>? AND ended_ms<?)" in step.detail
    database.close()


def test_the_marks_of_windows_that_are_not_over_come_back(place: Place) -> None:
    minute, hour = NOW // 60_000, NOW // 3_600_000
    marks = [
        WindowMark(OUR_KEY, "submissions", 60, minute, 7),
        WindowMark(OUR_KEY, "submissions", 3600, hour, 40),
        WindowMark(KeyId("key_other"), "tokens", 60, minute, 2**40),
    ]
    clock = Clock()

    def sort(marks: list[WindowMark]) -> list[WindowMark]:
        return sorted(marks, key=lambda mark: (mark.key_id != OUR_KEY, mark.length_s))

    async def before(ledger: Ledger) -> None:
        assert await ledger.window_marks() == []
        await ledger.mark_windows([])
        await ledger.mark_windows(marks)

    async def after(ledger: Ledger) -> None:
        assert sort(await ledger.window_marks()) == marks
        clock.ms = (minute + 1) * 60_000 - 1
        assert sort(await ledger.window_marks()) == marks
        clock.ms += 1
        assert await ledger.window_marks() == [marks[1]]
        await ledger.mark_windows([])
        clock.ms = NOW
        assert await ledger.window_marks() == [marks[1]]  # what is over is gone

    with_ledger(place, before, clock)
    with_ledger(place, after, clock)


def test_of_the_marks_of_a_window_the_most_used_holds_and_a_later_window_takes_its_place(place: Place) -> None:
    minute = NOW // 60_000

    async def scenario(ledger: Ledger) -> None:
        async def mark(*used: tuple[int, int]) -> list[tuple[int, int]]:
            await ledger.mark_windows([WindowMark(OUR_KEY, "reads", 60, number, count) for number, count in used])
            return [(kept.number, kept.used) for kept in await ledger.window_marks()]

        assert await mark((minute, 5)) == [(minute, 5)]
        assert await mark((minute, 4), (minute, 9), (minute, 8)) == [(minute, 9)]
        assert await mark((minute + 1, 1)) == [(minute + 1, 1)]
        assert await mark((minute, 20)) == [(minute + 1, 1)]
        await asyncio.gather(*(mark((minute + 1, used)) for used in (3, 2, 6, 5)))
        assert await mark() == [(minute + 1, 6)]

    with_ledger(place, scenario)


COUNTS = st.integers(0, 10**6)


@given(COUNTS, COUNTS, st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_cost_is_whole_and_never_below_the_price(prompt: int, completion: int, rate: int, other: int) -> None:
    rates = Rates(rate, other)
    exact = prompt * rate + completion * other
    cost = pricing.cost(rates, Usage(prompt, completion))
    assert exact <= cost * pricing.MILLION < exact + pricing.MILLION


def test_rates_are_the_catalogues_prices_in_millionths() -> None:
    assert pricing.rates(Price(prompt=0.15, completion=2)) == Rates(150_000, 2_000_000)
