"""What the Ledger keeps of shares: what accounts have had of models while others waited."""

import pytest

from actors.ledger import Ledger
from cluster.errors import Superseded
from cluster.liveness.roles import SCHEDULER_ROLE
from cluster.messages.people import ShareMark
from tests.support.ledger_stage import OURS, THEIRS, Place, with_ledger


def test_the_counters_that_were_written_last_come_back_and_those_that_are_no_more_do_not(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        assert await ledger.share_marks() == []
        await ledger.mark_shares([], "one")
        await ledger.mark_shares([ShareMark("m", OURS, 0.0), ShareMark("m", THEIRS, 7.5)], "one")
        await ledger.mark_shares([ShareMark("m", OURS, 1e15 + 0.125), ShareMark("n", OURS, 3.0)], "one")
        await ledger.mark_shares([ShareMark("m", THEIRS, None), ShareMark("n", THEIRS, None)], "one")
        kept = {(mark.model, mark.account_id): mark.counter for mark in await ledger.share_marks()}
        assert kept == {("m", OURS): 1e15 + 0.125, ("n", OURS): 3.0}

    with_ledger(place, scenario)


def test_a_repeat_changes_nothing(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        marks = [ShareMark("m", OURS, 5.0), ShareMark("m", THEIRS, None)]
        for _ in range(2):
            await ledger.mark_shares(marks, "one")
            assert await ledger.share_marks() == [marks[0]]

    with_ledger(place, scenario)


def test_a_scheduler_whose_place_another_has_taken_writes_nothing(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        for scheduler in ("first", "second"):
            assert await ledger.hold(SCHEDULER_ROLE, scheduler, begins=True)
        await ledger.mark_shares([ShareMark("m", OURS, 5.0)], "second")
        with pytest.raises(Superseded):
            await ledger.mark_shares([ShareMark("m", OURS, 1.0)], "first")
        assert await ledger.share_marks() == [ShareMark("m", OURS, 5.0)]

    with_ledger(place, scenario)
