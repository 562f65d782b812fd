"""The Ledger's idempotency keys: one key, one body, one job, for a day."""

import asyncio

import pytest
from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.errors import BudgetExceeded, Conflict
from cluster.ids import AccountId, KeyId
from cluster.messages.money import Budget, BudgetState
from cluster.messages.people import Account, NewKey
from cluster.messages.work import Accepted, Idempotency, Submission
from cluster.store import idempotency
from tests.support.ledger_stage import (
    ADMIN,
    NOW,
    OURS,
    THEIRS,
    Clock,
    Place,
    accepted,
    completed,
    create,
    elsewhere,
    job,
    with_ledger,
)

DAY_MS = 86_400_000
ASKED = Idempotency("once", "hash of the body")
OTHER_BODY = Idempotency("once", "hash of another body")


def new(asked: Idempotency | None = ASKED, account: AccountId = OURS) -> Submission:
    return Submission(job(account=account), asked)


async def jobs(place: Place) -> int:
    ((count,),) = elsewhere(place, "SELECT count(*) FROM jobs")
    assert isinstance(count, int)
    return count


def test_the_same_body_under_the_same_key_is_the_same_job(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        first, second = new(), new()
        assert await ledger.repeated(OURS, ASKED) is None
        assert await ledger.create([first]) == [accepted(first.job)]
        assert await ledger.repeated(OURS, ASKED) == accepted(first.job)
        assert await ledger.create([second]) == [accepted(first.job)]
        await ledger.finish([completed(first.job)])
        assert await ledger.create([first]) == [accepted(first.job)]
        assert await ledger.create([second]) == [accepted(first.job)]
        assert await jobs(place) == 1

    with_ledger(place, scenario)


def test_another_body_under_the_same_key_is_a_conflict(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        first, plain = new(), new(None)
        await ledger.create([first])
        with pytest.raises(Conflict, match="Idempotency-Key"):
            await ledger.repeated(OURS, OTHER_BODY)
        refusal, other = await ledger.create([new(OTHER_BODY), plain])
        assert isinstance(refusal, Conflict)
        assert other == accepted(plain.job)
        assert await jobs(place) == 2

    with_ledger(place, scenario)


def test_of_many_at_once_one_becomes_the_job_of_all(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        rivals = [new() for _ in range(40)]
        together = ledger.create(rivals[:8])
        alone = (ledger.create([rival]) for rival in rivals[8:])
        answers = [answer for answers in await asyncio.gather(together, *alone) for answer in answers]
        assert set(answers) == {accepted(rivals[0].job)}
        assert await jobs(place) == 1

    with_ledger(place, scenario)


def test_a_key_is_its_accounts_own(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        ours, theirs = new(), new(account=THEIRS)
        assert await ledger.create([ours, theirs]) == [accepted(ours.job), accepted(theirs.job)]
        mixed = [new(Idempotency("twice", "x")), new(Idempotency("twice", "y"), THEIRS)]
        assert await ledger.create([*mixed, new(), new(account=THEIRS)]) == [
            *(accepted(made.job) for made in mixed),
            accepted(ours.job),
            accepted(theirs.job),
        ]

    with_ledger(place, scenario)


def test_a_refused_submission_does_not_use_the_key_up(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        owner, key = AccountId("acct_poor"), KeyId("key_poor")
        budget = BudgetState(Budget("tokens", 20, "all"))
        await ledger.create_account(Account(owner, "poor", NOW + 1, budget=budget))
        await ledger.create_key(ADMIN, NewKey(key, owner, "a key", "inft_" + "p" * 32, "member", NOW))
        dear, cheap = (
            Submission(job(account=owner, key_id=key, prompt_tokens=tokens), asked)
            for tokens, asked in ((1000, ASKED), (3, OTHER_BODY))
        )
        refusal, made = await ledger.create([dear, cheap])
        assert isinstance(refusal, BudgetExceeded)
        assert made == accepted(cheap.job) == await ledger.repeated(owner, OTHER_BODY)
        # The repetition needs no room of its own.
        assert await ledger.create([replace(dear, idempotency=OTHER_BODY)]) == [accepted(cheap.job)]
        assert (await ledger.accounts())[-1].budget == replace(budget, reserved=10)

    with_ledger(place, scenario)


def test_a_key_counts_for_a_day_and_survives_the_ledger(place: Place) -> None:
    clock = Clock()
    first = new()

    async def before(ledger: Ledger) -> None:
        await ledger.create([first])

    async def after(ledger: Ledger) -> None:
        clock.ms = NOW + DAY_MS - 1
        assert await ledger.repeated(OURS, ASKED) == accepted(first.job)
        clock.ms = NOW + DAY_MS
        assert await ledger.repeated(OURS, OTHER_BODY) is None
        later = new(OTHER_BODY)
        assert await ledger.create([later]) == [accepted(later.job)]
        assert await ledger.repeated(OURS, OTHER_BODY) == accepted(later.job)
        assert await jobs(place) == 2

    with_ledger(place, before, clock)
    with_ledger(place, after, clock)


def test_old_keys_go_a_few_at_a_time_and_never_stand_in_the_way(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "_PRUNE", idempotency._PRUNE.where(idempotency.IDEMPOTENCY.c.key < "key 5"))
    clock = Clock()

    async def scenario(ledger: Ledger) -> None:
        old = [new(Idempotency(f"key {number}", "x")) for number in range(8)]
        await ledger.create(old)
        clock.ms = NOW + DAY_MS
        await create(ledger, job())  # without a key: nothing is looked at
        assert elsewhere(place, "SELECT count(*) FROM idempotency") == [(8,)]
        again = new(Idempotency("key 7", "y"))
        (made,) = await ledger.create([again])
        assert made == Accepted(again.job.id, again.job.model, NOW)
        assert elsewhere(place, "SELECT key FROM idempotency ORDER BY key") == [("key 5",), ("key 6",), ("key 7",)]

    with_ledger(place, scenario, clock)
