"""What processes count together: every sheet once, whoever dies, repeats or is not answered."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from actors.database.gauges import Gauges
from actors.ledger import Ledger
from actors.wire.handing_in import HandingIn
from cluster.errors import ConnectionLost, DatabaseUnavailable
from cluster.ids import AccountId
from cluster.measures.tallies import COMMITS, SETTLED, WRITES, Sheet, Tallies
from cluster.messages.money import Budget, Rates
from cluster.messages.people import Account, AccountChange
from cluster.timing import Timing
from tests.support.ledger_stage import NOW, OURS, Clock, Place, completed, create, job, with_ledger

QUICK = Timing(ask_s=0.5)


async def told(ledger: Ledger) -> dict[tuple[str, ...], float]:
    """What is counted, but for what the Ledger counts of itself."""
    tallies = (await ledger.totals()).tallies
    return {(each.name, *each.labels): each.count for each in tallies if not each.name.startswith("ledger_")}


class Losing:
    """A Ledger whose answers are lost now and then, after it has done what it was asked, or before."""

    def __init__(self, ledger: Ledger, drawn: random.Random) -> None:
        self._ledger = ledger
        self._drawn = drawn

    async def tally(self, source: str, sheet: Sheet | None, gauges: Mapping[str, float]) -> None:
        if self._drawn.random() < 0.3:
            raise DatabaseUnavailable("before")
        await self._ledger.tally(source, sheet, gauges)
        if self._drawn.random() < 0.3:
            raise ConnectionLost("after")


def test_nothing_is_lost_or_counted_twice_when_answers_are_lost(place: Place) -> None:
    drawn = random.Random(14)

    async def scenario(ledger: Ledger) -> None:
        unsure: Any = Losing(ledger, drawn)
        replicas = [Tallies(f"replica {number}") for number in range(3)]
        handing_in = [HandingIn(tallies, unsure, QUICK) for tallies in replicas]
        counted = 0
        for _ in range(100):
            number = drawn.randrange(3)
            replicas[number].count("requests", "/jobs", str(number))
            counted += 1
            try:
                await handing_in[number].hand_in()
            except DatabaseUnavailable:
                continue
        for tallies in replicas:
            while (sheet := tallies.sheet()) is not None:
                await ledger.tally(tallies.source, sheet, {})
                tallies.taken(sheet)
        found = await told(ledger)
        assert sum(found.values()) == counted
        assert set(found) == {("requests", "/jobs", str(number)) for number in range(3)}

    with_ledger(place, scenario)


def test_a_sheet_is_the_same_until_it_is_taken_and_what_comes_meanwhile_is_on_the_next() -> None:
    tallies = Tallies("replica")
    assert tallies.sheet() is None
    tallies.count("requests", "/", by=2)
    first = tallies.sheet()
    tallies.count("requests", "/")
    assert tallies.sheet() == first
    assert first is not None
    tallies.taken(first)
    second = tallies.sheet()
    assert second is not None
    assert (second.number, second.counts()) == (2, {("requests", ("/",)): 1})
    tallies.taken(first)  # told once more
    assert tallies.sheet() == second


def test_what_is_known_in_all_is_counted_by_what_is_new() -> None:
    tallies = Tallies("scheduler")
    for total in (0, 5, 5, 3, 9):
        tallies.reach("tokens", "m", total=total)
    sheet = tallies.sheet()
    assert sheet is not None
    assert sheet.counts() == {("tokens", ("m",)): 9}


def test_a_sheet_counts_once_for_whoever_comes_after(place: Place) -> None:
    tallies = Tallies("replica")
    tallies.count("streams", "new", by=3)
    sheet = tallies.sheet()

    async def before(ledger: Ledger) -> None:
        await ledger.tally("replica", sheet, {})

    async def after(ledger: Ledger) -> None:
        await asyncio.gather(*(ledger.tally("replica", sheet, {}) for _ in range(3)))
        assert await told(ledger) == {("streams", "new"): 3}

    with_ledger(place, before)
    with_ledger(place, after)


def test_processes_that_ended_long_ago_are_forgotten_and_what_they_counted_is_not(place: Place) -> None:
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        for source in ("old", "new"):
            tallies = Tallies(source)
            tallies.count("streams", source)
            await ledger.tally(source, tallies.sheet(), {})
            clock.ms += 6 * 86_400_000
        await ledger.prune_minutes()
        again = Tallies("new")
        again.count("streams", "new")
        await ledger.tally("new", again.sheet(), {})
        assert await told(ledger) == {("streams", "old"): 1, ("streams", "new"): 1}

    with_ledger(place, scenario, clock)


def test_what_the_ledger_commits_is_counted_and_outlives_it(place: Place) -> None:
    async def before(ledger: Ledger) -> None:
        await asyncio.gather(
            *(ledger.create_account(Account(AccountId(f"acct_{number}"), "team", NOW)) for number in range(5))
        )

    async def after(ledger: Ledger) -> None:
        found = {each.name: each.count for each in (await ledger.totals()).tallies}
        assert 1 <= found[COMMITS] <= found[WRITES]
        assert found[WRITES] >= 5

    with_ledger(place, before)
    with_ledger(place, after)


def test_what_budgets_hold_and_have_spent_is_told_by_unit(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await ledger.change_account(OURS, AccountChange(budget=Budget("money", 10_000_000, "all")))
        one, other = (job(rates=Rates(1_000_000, 1_000_000)) for _ in range(2))
        await create(ledger, one, other)
        held = (await ledger.totals()).reserved
        assert held == {"money": 2 * (9 + 7)}
        await ledger.finish([completed(one, tokens=5)])
        totals = await ledger.totals()
        assert totals.reserved == {"money": 9 + 7}
        assert {each.labels: each.count for each in totals.tallies if each.name == SETTLED} == {("money",): 3 + 5}

    with_ledger(place, scenario)


def test_a_process_that_falls_silent_tells_of_no_present_any_more() -> None:
    clock = Clock()
    gauges = Gauges(clock, silence_s=20)
    gauges.tell("one", {"streams_open": 3})
    clock.s += 15
    gauges.tell("other", {"streams_open": 4})
    assert gauges.sums() == {"streams_open": 7}
    clock.s += 10
    assert gauges.sums() == {"streams_open": 4}
    clock.s += 30
    assert gauges.sums() == {}


def test_what_was_counted_last_is_handed_in_at_the_end_and_who_cannot_says_so(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    class Away:
        async def tally(self, *_: object) -> None:
            raise DatabaseUnavailable("gone")

    async def scenario(ledger: Ledger) -> None:
        for of in (ledger, Away()):
            tallies = Tallies("replica")
            handing_in = HandingIn(tallies, of, QUICK)  # type: ignore[arg-type]
            tallies.count("streams", "new")
            await handing_in.stop()
        assert await told(ledger) == {("streams", "new"): 1}

    with_ledger(place, scenario)
    assert "was not handed in" in caplog.text
