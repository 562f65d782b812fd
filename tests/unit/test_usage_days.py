"""Usage by whole days and by rows: sums that are exact for any time, and are made where the jobs end."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import permutations, product

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from actors.ledger import Ledger
from cluster.clock import utc_day
from cluster.ids import KeyId
from cluster.messages.money import Rates, UsageGrouping, UsageQuery, UsageSum
from cluster.messages.people import NewKey
from cluster.messages.work import Ended, Job
from cluster.store import usage
from cluster.store.database import Database
from cluster.store.usage_days import DAY_MS
from tests.support.ledger_stage import (
    ADMIN,
    NOW,
    OUR_KEY,
    OURS,
    THEIRS,
    Place,
    completed,
    create,
    elsewhere,
    failed,
    job,
    url,
    with_ledger,
)

MIDNIGHT = NOW - NOW % DAY_MS
SECOND = KeyId("key_second")
DAYS = "SELECT sum(jobs), sum(prompt_tokens), sum(completion_tokens), sum(cost) FROM usage_days"
ROWS = "SELECT count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost) FROM usage"


def some_jobs() -> list[tuple[Job, Ended]]:
    """Of two accounts, two keys and two models, over some days, at their very ends too."""
    drawn = random.Random(13)
    ends = [MIDNIGHT + days * DAY_MS + offset for days, offset in product((-2, -1, 0, 1), (-1, 0, 1, DAY_MS // 2))]
    made = []
    for ended_ms in ends:
        for account, key, model in (
            (OURS, OUR_KEY, "a"),
            (OURS, SECOND, "a"),
            (OURS, SECOND, "b"),
            (THEIRS, None, "a"),
        ):
            fields = {} if key is None else {"key_id": key}
            one = job(ended_ms - 2_000, account=account, model=model, rates=Rates(1, drawn.randrange(10**7)), **fields)
            made.append((one, completed(one, tokens=drawn.randrange(100))))
    return made


def test_sums_are_those_of_the_rows_for_any_time(place: Place) -> None:
    made = some_jobs()
    moments = [None, *sorted({at for _, end in made for at in (end.ended_ms, end.ended_ms + 1)})]

    def expected(key: object, since: int | None, until: int | None) -> dict[object, list[int]]:
        found: dict[object, list[int]] = {}
        for one, end in made:
            if one.account_id == OURS and (since or 0) <= end.ended_ms < (until or 1 << 62):
                group = {None: None, "key": one.key_id, "model": one.model, "day": end.ended_ms // DAY_MS}[key]  # type: ignore[index]
                cost = -(-(3 * one.rates.prompt + end.end.usage.completion_tokens * one.rates.completion) // 10**6)
                counted = found.setdefault(group, [0, 0, 0, 0])
                for place, more in enumerate((1, 3, end.end.usage.completion_tokens, cost)):
                    counted[place] += more
        return found

    async def scenario(ledger: Ledger) -> None:
        await ledger.create_key(ADMIN, NewKey(SECOND, OURS, "second", "inft_" + "2" * 32, "member", NOW))
        await create(ledger, *(one for one, _ in made))
        await asyncio.gather(*(ledger.finish([end]) for _, end in made))
        for since, until in product(moments, moments):
            for grouping in (None, "key", "model", "day"):
                told = await ledger.usage(UsageQuery(OURS, since, until, (grouping,) if grouping else ()))  # type: ignore[arg-type]
                wanted = sorted(expected(grouping, since, until).items(), key=lambda item: str(item[0]))
                counts = [[each.jobs, each.prompt_tokens, each.completion_tokens, each.cost] for each in told]
                assert counts == [of_group for _, of_group in wanted] or (grouping is None and counts == [[0] * 4])

    with_ledger(place, scenario)


GROUPINGS: tuple[UsageGrouping, ...] = ("account", "key", "model", "day")


def test_any_groupings_together_of_all_accounts_in_parts_of_any_length(place: Place) -> None:
    made = some_jobs()

    def expected(groupings: Sequence[UsageGrouping], since: int | None) -> dict[tuple[str, ...], int]:
        found: Counter[tuple[str, ...]] = Counter()
        for one, end in made:
            if (since or 0) <= end.ended_ms:
                day = utc_day(end.ended_ms // DAY_MS)
                of = {"account": one.account_id, "key": one.key_id, "model": one.model, "day": day}
                found[tuple(of[grouping] for grouping in groupings)] += end.end.usage.completion_tokens
        return dict(sorted(found.items()))

    async def scenario(ledger: Ledger) -> None:
        await ledger.create_key(ADMIN, NewKey(SECOND, OURS, "second", "inft_" + "2" * 32, "member", NOW))
        await create(ledger, *(one for one, _ in made))
        await asyncio.gather(*(ledger.finish([end]) for _, end in made))
        for count, since in product(range(1, 5), (None, MIDNIGHT + 1)):
            for groupings in permutations(GROUPINGS, count):
                query = UsageQuery(None, since, group_by=groupings)
                told = await ledger.usage(query)
                assert {each.groups: each.completion_tokens for each in told} == expected(groupings, since)
                assert [each.groups for each in told] == sorted(each.groups for each in told)
                parts: list[UsageSum] = []
                while part := await ledger.usage(
                    replace(query, after=parts[-1].groups if parts else None, limit=count)
                ):
                    assert len(part) <= count
                    parts += part
                assert parts == told
        (total,) = await ledger.usage(UsageQuery(None))
        assert (total.groups, total.jobs) == ((), len(made))

    with_ledger(place, scenario)


def test_the_sums_are_made_once_with_the_end_that_counts(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        one, other = job(), job()
        await create(ledger, one, other)
        await ledger.finish([completed(one, tokens=5), completed(one, tokens=6)])
        await asyncio.gather(*(ledger.finish([end]) for end in (failed(one), completed(other), failed(other))))
        assert elsewhere(place, DAYS) == elsewhere(place, ROWS)
        assert (await ledger.usage(UsageQuery(OURS)))[0].jobs == 2

    with_ledger(place, scenario)


def test_what_is_not_committed_is_in_neither(place: Place) -> None:
    one = job()

    async def scenario(ledger: Ledger) -> None:
        await create(ledger, one)

    with_ledger(place, scenario)
    database = Database(url(place))
    end = partial(_end_and_fail, end=completed(one))
    (refused,) = database.commit([end])
    assert isinstance(refused, ZeroDivisionError)
    assert (
        elsewhere(place, "SELECT count(*) FROM usage_days") == elsewhere(place, "SELECT count(*) FROM usage") == [(0,)]
    )
    database.close()


def _end_and_fail(connection: object, end: Ended) -> None:
    from cluster.store import jobs

    jobs.finish(connection, [end])  # type: ignore[arg-type]
    raise ZeroDivisionError


def test_whole_days_are_told_without_a_look_at_any_row(place: Place) -> None:
    """All rows are taken away: what is still told comes from the sums."""
    one = job(MIDNIGHT)

    async def scenario(ledger: Ledger) -> None:
        await create(ledger, one)
        await ledger.finish([completed(one)])

    with_ledger(place, scenario)
    database = Database(url(place))
    database.commit([lambda connection: connection.execute(text("DELETE FROM usage"))])
    for query in (UsageQuery(OURS), UsageQuery(OURS, MIDNIGHT, MIDNIGHT + DAY_MS), UsageQuery(OURS, MIDNIGHT)):
        (told,) = database.read(partial(usage.sums, query=query))
        assert told == UsageSum((), 1, 3, 20, 43), query
    (told,) = database.read(partial(usage.sums, query=UsageQuery(OURS, MIDNIGHT + 1, MIDNIGHT + DAY_MS)))
    assert told.jobs == 0
    database.close()


@pytest.mark.parametrize(("since", "until"), [(MIDNIGHT + 5, MIDNIGHT + 3), (MIDNIGHT + DAY_MS, MIDNIGHT), (NOW, NOW)])
def test_a_time_that_ends_before_it_begins_holds_nothing(place: Place, since: int, until: int) -> None:
    async def scenario(ledger: Ledger) -> None:
        one = job(MIDNIGHT)
        await create(ledger, one)
        await ledger.finish([completed(one)])
        assert await ledger.usage(UsageQuery(OURS, since, until)) == [UsageSum((), 0, 0, 0, 0)]
        assert await ledger.usage(UsageQuery(OURS, since, until, ("day",))) == []

    with_ledger(place, scenario)
