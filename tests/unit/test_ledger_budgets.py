"""The Ledger's budgets: nothing overshoots them, nothing leaks from them, whatever happens at once or dies."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from functools import partial
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.ledger import Ledger
from cluster.errors import BudgetExceeded
from cluster.ids import AccountId, JobId, KeyId
from cluster.limits import pricing
from cluster.limits.budgets import Balance
from cluster.messages.money import Budget, BudgetState, BudgetUnit, Rates, Usage, UsageQuery, UsageSum
from cluster.messages.people import Account, NewKey
from cluster.messages.work import ChatMessage, Ended, Failed, Finished, Job, Sampling, Submission
from cluster.store import jobs
from cluster.store.database import Database
from tests.support.ledger_stage import (
    ADMIN,
    NOW,
    OURS,
    Clock,
    NewPlace,
    Place,
    accepted,
    elsewhere,
    job,
    url,
    with_ledger,
)

OWNER, KEY = AccountId("acct_owner"), KeyId("key_owner")
DAY_MS = 86_400_000


async def owners(ledger: Ledger, account: Budget | None = None, key: Budget | None = None) -> None:
    """An account and its key with these budgets."""
    budget = None if account is None else BudgetState(account)
    await ledger.create_account(Account(OWNER, "owner", NOW, budget=budget))
    await ledger.create_key(ADMIN, NewKey(KEY, OWNER, "a key", "inft_" + "k" * 32, "member", NOW, budget=key))


async def states(ledger: Ledger) -> tuple[BudgetState | None, BudgetState | None]:
    """The account's budget and the key's, as they stand."""
    (account,) = [account for account in await ledger.accounts() if account.id == OWNER]
    (key,) = await ledger.keys(OWNER)
    return account.budget, key.budget


def theirs(prompt: int = 4, most: int = 6, **fields: object) -> Job:
    """A job of the owner's that may need `prompt + most` tokens, which cost a whole unit each."""
    sampling = Sampling(max_tokens=most)
    made = job(account=OWNER, key_id=KEY, prompt_tokens=prompt, sampling=sampling, rates=Rates(10**6, 10**6))
    return replace(made, **fields)  # type: ignore[arg-type]


def end(job: Job, completion: int = 1, at_ms: int = NOW, error: str | None = None) -> Ended:
    usage = Usage(job.prompt_tokens or 0, completion)
    ending = Finished(usage, "stop") if error is None else Failed(usage, error, "It failed")
    return Ended(job.id, "text", ending, at_ms)


async def submit(ledger: Ledger, *jobs: Job) -> list[JobId | type]:
    """Per job its id, or the kind of error that refused it."""
    answers = await ledger.create([Submission(made) for made in jobs])
    return [type(answer) if isinstance(answer, Exception) else answer.id for answer in answers]


@pytest.mark.parametrize("unit", ["tokens", "money"])
def test_a_job_reserves_the_most_it_can_need_and_spends_what_it_used(place: Place, unit: BudgetUnit) -> None:
    budget = Budget(unit, 100, "month")

    async def scenario(ledger: Ledger) -> None:
        await owners(ledger, budget, replace(budget, period="all"))
        made = theirs()
        assert await ledger.create([Submission(made)]) == [accepted(made)]
        held = BudgetState(budget, 0, 10)
        assert await states(ledger) == (held, replace(held, budget=replace(budget, period="all")))
        await ledger.finish([end(made, completion=2)])
        spent = BudgetState(budget, 6, 0)
        assert await states(ledger) == (spent, replace(spent, budget=replace(budget, period="all")))
        assert elsewhere(place, "SELECT * FROM reservations") == []

    with_ledger(place, scenario)


def test_money_is_reckoned_by_the_jobs_own_rates(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await owners(ledger, Budget("money", 100, "all"))
        made = theirs(prompt=3, most=5, rates=Rates(prompt=500_000, completion=1_500_000))
        assert await submit(ledger, made) == [made.id]
        assert (await states(ledger))[0] == BudgetState(Budget("money", 100, "all"), 0, 9)
        await ledger.finish([end(made, completion=1)])
        assert (await states(ledger))[0] == BudgetState(Budget("money", 100, "all"), 3, 0)
        free = theirs(prompt=10**9, rates=Rates())
        assert await submit(ledger, free) == [free.id]

    with_ledger(place, scenario)


@pytest.mark.parametrize("whose", ["key", "account"])
def test_a_refusal_says_which_budget_and_what_is_left_and_leaves_nothing(place: Place, whose: str) -> None:
    enough, scarce = Budget("tokens", 1000, "all"), Budget("tokens", 15, "month")

    async def scenario(ledger: Ledger) -> None:
        await owners(ledger, **{"account": enough, "key": enough} | {whose: scarce})
        fits, refused = theirs(), theirs()
        answers = await ledger.create([Submission(fits), Submission(refused)])
        assert answers[0] == accepted(fits)
        assert isinstance(answers[1], BudgetExceeded)
        expected = f"The {whose}'s budget has 5 tokens left this month; this job may need 10"
        assert answers[1].message == expected
        assert await ledger.job(refused.id, OWNER) is None
        assert [state and state.reserved for state in await states(ledger)] == [10, 10]
        smaller = theirs(prompt=2, most=3)
        assert await submit(ledger, refused, smaller) == [BudgetExceeded, smaller.id]

    with_ledger(place, scenario)


def test_of_64_at_once_as_many_pass_as_there_is_room_for(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await owners(ledger, Budget("tokens", 109, "all"))
        made = [theirs() for _ in range(64)]
        answers = await asyncio.gather(*(submit(ledger, one) for one in made))
        passed = [one for one, answer in zip(made, answers, strict=True) if answer == [one.id]]
        assert len(passed) == 10
        assert answers.count([BudgetExceeded]) == 54
        assert (await states(ledger))[0] == BudgetState(Budget("tokens", 109, "all"), 0, 100)
        assert {open_job.job.id for open_job in await ledger.open_jobs()} == {one.id for one in passed}

    with_ledger(place, scenario)


def test_a_repeated_create_reserves_once(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await owners(ledger, Budget("tokens", 10, "all"))
        made = theirs()
        assert await submit(ledger, made, made) == [made.id, made.id]
        assert await submit(ledger, made) == [made.id]
        assert (await states(ledger))[0] == BudgetState(Budget("tokens", 10, "all"), 0, 10)

    with_ledger(place, scenario)


def test_only_the_first_end_settles(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await owners(ledger, Budget("tokens", 100, "all"), Budget("tokens", 100, "all"))
        made, other = theirs(), theirs()
        await submit(ledger, made, other)
        first, later = end(made, completion=1, error="cancelled"), end(made, completion=6)
        await ledger.finish([first, later])
        await asyncio.gather(*(ledger.finish([later, end(theirs())]) for _ in range(5)))
        account, key = await states(ledger)
        assert account == key == BudgetState(Budget("tokens", 100, "all"), 5, 10)

    with_ledger(place, scenario)


def test_an_unbudgeted_neighbour_is_not_disturbed(place: Place) -> None:
    async def scenario(ledger: Ledger) -> None:
        await owners(ledger, Budget("tokens", 0, "all"))
        ours = job()
        assert await submit(ledger, theirs(), ours, theirs()) == [BudgetExceeded, ours.id, BudgetExceeded]
        assert await ledger.job(ours.id, OURS) is not None

    with_ledger(place, scenario)


def test_a_new_month_spends_anew_but_keeps_what_is_reserved(place: Place) -> None:
    clock = Clock(NOW)
    monthly = Budget("tokens", 30, "month")

    async def scenario(ledger: Ledger) -> None:
        await owners(ledger, monthly, replace(monthly, period="all"))
        now_spent, late, running = theirs(), theirs(), theirs()
        await submit(ledger, now_spent, late, running)
        await ledger.finish([end(now_spent, completion=6)])
        assert (await states(ledger))[0] == BudgetState(monthly, 10, 20)

        clock.ms += 40 * DAY_MS
        assert (await states(ledger))[0] == BudgetState(monthly, 0, 20)
        assert await submit(ledger, theirs()) == [BudgetExceeded]  # of the key's, which is for all time
        # It ended in the month before; only the news of it is late.
        await ledger.finish([end(late, at_ms=NOW + 1), end(running, completion=2, at_ms=clock.ms)])
        account, key = await states(ledger)
        assert account == BudgetState(monthly, 6, 0)
        assert key == BudgetState(replace(monthly, period="all"), 10 + 5 + 6, 0)

    with_ledger(place, scenario, clock)


def test_a_month_that_has_been_left_does_not_come_back() -> None:
    balance = Balance(Budget("tokens", 10, "month"), month=202612, spent=7, reserved=2)
    assert balance.at(NOW) == replace(balance, month=202701, spent=0)
    assert replace(balance, month=202702).at(NOW).spent == 7


def test_an_uncounted_prompt_is_taken_for_more_than_it_can_be() -> None:
    messages = (ChatMessage("user", "Größe"),) * 100
    uncounted = theirs(messages=messages, prompt_tokens=None)
    most = pricing.most_usage(uncounted)
    assert most.completion_tokens == 6
    assert most.prompt_tokens >= 100 * (len("Größe".encode()) + 10)


def test_a_crash_before_the_commit_reserves_and_settles_nothing(place: Place) -> None:
    """The transaction is made whole or not at all: here its process dies right before the commit."""

    async def before(ledger: Ledger) -> None:
        await owners(ledger, Budget("tokens", 20, "all"))
        assert await submit(ledger, running) == [running.id]

    async def after(ledger: Ledger) -> None:
        assert (await states(ledger))[0] == BudgetState(Budget("tokens", 20, "all"), 0, 10)
        await ledger.finish([end(running)])
        assert (await states(ledger))[0] == BudgetState(Budget("tokens", 20, "all"), 5, 0)

    running = theirs()
    with_ledger(place, before)
    database = Database(url(place))
    with pytest.raises(KeyboardInterrupt):
        database.commit([partial(jobs.finish, ended=[end(running)]), _die])
    database.close()
    with_ledger(place, after)


def _die(_: object) -> None:
    raise KeyboardInterrupt


JOB_SHAPES = st.tuples(st.integers(0, 8), st.integers(1, 8), st.integers(0, 3), st.integers(0, 3))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.lists(st.integers(0, 9), min_size=1, max_size=4)),
        st.tuples(st.just("finish"), st.lists(st.integers(0, 9), min_size=1, max_size=4)),
        st.tuples(st.just("reopen"), st.just([])),
    ),
    max_size=12,
)
BUDGETS = st.none() | st.builds(
    Budget,
    unit=st.sampled_from(("tokens", "money")),
    amount=st.integers(0, 40),
    period=st.sampled_from(("month", "all")),
)


@settings(max_examples=20)
@given(
    account=BUDGETS,
    key=BUDGETS,
    shapes=st.lists(JOB_SHAPES, min_size=10, max_size=10),
    steps=STEPS,
    used=st.integers(0, 100),
    together=st.booleans(),
)
def test_no_order_of_events_overshoots_or_leaks(
    places: NewPlace,
    account: Budget | None,
    key: Budget | None,
    shapes: Sequence[tuple[int, int, int, int]],
    steps: Sequence[tuple[str, Sequence[int]]],
    used: int,
    together: bool,
) -> None:
    made = [
        theirs(prompt, most, rates=Rates(prompt_rate * 700_000, rate * 700_000))
        for prompt, most, prompt_rate, rate in shapes
    ]
    ends = [end(one, completion=used * one.sampling.max_tokens // 100) for one in made]
    place = places()
    with_ledger(place, partial(owners, account=account, key=key))

    async def act(ledger: Ledger, part: Sequence[tuple[str, Sequence[int]]]) -> None:
        calls = [_call(ledger, step, made, ends) for step in part]
        if together:
            await asyncio.gather(*calls)
        else:
            for call in calls:
                await call
                await check(ledger, ended=False)
        await check(ledger, ended=False)

    async def check(ledger: Ledger, ended: bool) -> None:
        (total,) = await ledger.usage(UsageQuery(OWNER))
        for state in await states(ledger):
            if state is not None:
                assert min(state.spent, state.reserved) >= 0
                assert state.spent + state.reserved <= state.budget.amount
                assert state.spent == _spent(total, state.budget.unit)
                assert not ended or state.reserved == 0

    async def end_all(ledger: Ledger) -> None:
        await ledger.finish(ends)
        await check(ledger, ended=True)

    for part in _between_reopenings(steps):
        with_ledger(place, partial(act, part=part))
    with_ledger(place, end_all)
    assert elsewhere(place, "SELECT * FROM reservations") == []


def _call(
    ledger: Ledger, step: tuple[str, Sequence[int]], made: Sequence[Job], ends: Sequence[Ended]
) -> Coroutine[None, None, object]:
    what, which = step
    if what == "create":
        return ledger.create([Submission(made[number]) for number in which])
    return ledger.finish([ends[number] for number in which])


def _between_reopenings(steps: Sequence[tuple[str, Sequence[int]]]) -> Iterator[list[tuple[str, Sequence[int]]]]:
    for reopens, part in groupby(steps, key=lambda step: step[0] == "reopen"):
        if not reopens:
            yield list(part)


def _spent(total: UsageSum, unit: BudgetUnit) -> int:
    return total.cost if unit == "money" else total.prompt_tokens + total.completion_tokens
