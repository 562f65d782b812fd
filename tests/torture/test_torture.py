"""A bounded part of torture, and that torture notices what is broken."""

from collections import Counter
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from actors.ledger import Ledger
from actors.scheduler import Scheduler
from cluster.ids import JobId
from cluster.messages.records import EndedRecord
from cluster.messages.work import Ended, Released
from cluster.text.token_log import TokenLog
from tests.support.faults import CALL_FAULTS, DATABASE_FAULTS, PROCESS_FAULTS, STREAM_FAULTS, Fault
from tests.torture.invariants import Violation
from tests.torture.plan import CALLS, STREAMS, Plan, draw, is_off
from tests.torture.rounds import Outcome, play
from tests.torture.shrinking import shrink

SEEDS = range(1, 21)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [play(draw(seed)) for seed in SEEDS]


def test_everything_holds_under_the_faults_of_these_seeds(outcomes: list[Outcome]) -> None:
    assert [violation for outcome in outcomes for violation in outcome.violations] == []


def test_the_faults_of_these_seeds_are_many_and_of_every_kind(outcomes: list[Outcome]) -> None:
    injected: Counter[str] = Counter()
    for outcome in outcomes:
        injected.update(outcome.injected)
    assert injected.total() > 40 * len(SEEDS)
    kinds = {name.partition(" ")[0] for name in injected}
    of_the_database = {kind for kind in DATABASE_FAULTS if not is_off(f"{kind} database")}
    assert kinds >= {*CALL_FAULTS, *STREAM_FAULTS, *PROCESS_FAULTS, *of_the_database, "cut", "drain"}


def test_every_way_of_a_plan_is_travelled(outcomes: list[Outcome]) -> None:
    travelled = {way for outcome in outcomes for way in outcome.travelled}
    assert set(CALLS + STREAMS) - travelled == set()


def test_a_seed_gives_one_plan_and_a_plan_one_course() -> None:
    plan = draw(7)
    assert draw(7) == plan
    assert draw(8) != plan
    assert play(plan) == play(plan)


def test_a_plan_can_be_read() -> None:
    plan = replace(draw(7), faults=(Fault(1.5, "delay_before", "scheduler>engine.generate", 0.25),))
    assert str(plan).splitlines()[-1] == "    1.500 s  delay_before scheduler>engine.generate  0.25 s"


# What is broken is noticed ----------------------------------------------------------------------------------------


def _undisturbed(seed: int = 1) -> Plan:
    return draw(seed, with_faults=False)


def _broken_rules(plan: Plan) -> set[str]:
    return {violation.rule for violation in play(plan).violations}


def test_nothing_is_broken_when_nothing_goes_wrong() -> None:
    assert _broken_rules(_undisturbed()) == set()


def test_an_end_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Ledger.finish

    async def loses_one(self: Ledger, ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
        return await finish(self, [end for end in ended if int(end.job_id[-1], 16) % 4], journal)

    monkeypatch.setattr(Ledger, "finish", loses_one)
    assert _broken_rules(_undisturbed()) >= {"every job ends", "nothing is held by nobody"}


def test_text_that_is_not_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Ledger.finish

    async def cuts(self: Ledger, ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
        return await finish(self, [replace(end, content=end.content[:-1]) for end in ended], journal)

    monkeypatch.setattr(Ledger, "finish", cuts)
    assert _broken_rules(_undisturbed()) >= {"readers have the result", "the text is whole"}


def test_a_wrong_bill_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Ledger.finish

    async def bills_one_more(self: Ledger, ended: Sequence[Ended], journal: str) -> dict[JobId, EndedRecord]:
        dear = [replace(end.end.usage, completion_tokens=end.end.usage.completion_tokens + 1) for end in ended]
        billed = [replace(e, end=replace(e.end, usage=u)) for e, u in zip(ended, dear, strict=True)]
        return await finish(self, billed, journal)

    monkeypatch.setattr(Ledger, "finish", bills_one_more)
    assert "the text is whole" in _broken_rules(_undisturbed())


def test_a_reservation_that_nobody_frees_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.store.budgets.settle", lambda *_: None)
    assert "budgets are settled" in _broken_rules(_undisturbed())


def test_a_lost_notice_of_an_end_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rule is broken: what engines report tells the Scheduler the same."""

    async def forgets(self: Scheduler, released: Sequence[Released]) -> None:
        """Say nothing to the leases."""

    monkeypatch.setattr(Scheduler, "released", forgets)
    assert _broken_rules(_undisturbed()) == set()


def test_a_text_that_is_told_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    since = TokenLog.since

    def stutters(self: TokenLog, offset: int) -> str:
        text = since(self, offset)
        return text + text[-1:] if offset else text

    monkeypatch.setattr(TokenLog, "since", stutters)
    assert "readers have the result" in _broken_rules(_undisturbed())


# Shrinking --------------------------------------------------------------------------------------------------------


def test_a_plan_is_shrunk_to_the_faults_that_it_takes() -> None:
    plan = draw(3)
    guilty = {plan.faults[5], plan.faults[20]}

    def check(tried: Plan) -> tuple[Violation, ...]:
        return (Violation("a rule", f"of {len(tried.faults)}"),) if guilty <= set(tried.faults) else ()

    shrunk = shrink(plan, Violation("a rule", "of all"), check)
    assert set(shrunk.plan.faults) == guilty
    assert shrunk.violation == Violation("a rule", "of 2")


def test_another_rule_is_not_what_is_looked_for() -> None:
    plan = draw(3)
    shrunk = shrink(plan, Violation("a rule", ""), lambda _: (Violation("another", ""),))
    assert shrunk.plan == plan
