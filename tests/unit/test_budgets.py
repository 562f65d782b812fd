"""Budgets and prices: what is spent, what is reserved, and what a job may need at most."""

from datetime import UTC, datetime

import pytest

from cluster.catalogue import Price
from cluster.ids import AccountId, JobId, KeyId
from cluster.limits import budgets, pricing
from cluster.limits.budgets import Balance
from cluster.messages.money import Budget, BudgetState, Rates, Usage
from cluster.messages.work import ChatMessage, Job, Sampling


def ms(year: int, month: int) -> int:
    return int(datetime(year, month, 15, tzinfo=UTC).timestamp()) * 1000


OCTOBER, NOVEMBER, DECEMBER = ms(2026, 10), ms(2026, 11), ms(2026, 12)
MONTHLY, FOR_ALL = Budget("tokens", 100, "month"), Budget("money", 100, "all")


def test_a_new_budget_has_all_of_its_amount() -> None:
    assert budgets.fresh(MONTHLY, NOVEMBER) == Balance(MONTHLY, 202611, 0, 0)
    assert budgets.fresh(FOR_ALL, NOVEMBER) == Balance(FOR_ALL, 0, 0, 0)
    assert Balance(MONTHLY).left == 100


def test_what_is_left_is_neither_spent_nor_reserved_and_never_negative() -> None:
    assert Balance(MONTHLY, 202611, 30, 50).left == 20
    assert Balance(MONTHLY, 202611, 60, 40).left == 0
    assert Balance(MONTHLY, 202611, 99, 0).left == 1
    assert Balance(MONTHLY, 202611, 101, 0).left == 0


def test_its_state_is_what_its_owner_is_told() -> None:
    assert Balance(MONTHLY, 202611, 30, 50).state == BudgetState(MONTHLY, 30, 50)


def test_a_new_month_has_spent_nothing_and_keeps_what_is_reserved() -> None:
    balance = Balance(MONTHLY, 202611, 30, 50)
    assert balance.at(DECEMBER) == Balance(MONTHLY, 202612, 0, 50)
    assert balance.at(NOVEMBER) == balance
    assert balance.at(OCTOBER) == balance
    assert Balance(FOR_ALL, 0, 30, 50).at(DECEMBER) == Balance(FOR_ALL, 0, 30, 50)


def test_a_job_reserves_and_then_spends_what_it_consumed() -> None:
    reserved = Balance(MONTHLY, 202611, 30, 5).reserve(40)
    assert reserved == Balance(MONTHLY, 202611, 30, 45)
    assert reserved.settle(40, 12, NOVEMBER) == Balance(MONTHLY, 202611, 42, 5)


def test_a_job_is_spent_in_the_month_it_ends_in() -> None:
    reserved = Balance(MONTHLY, 202611, 30, 40)
    assert reserved.settle(40, 12, DECEMBER) == Balance(MONTHLY, 202612, 12, 0)
    # It ended in a month that is over: nothing of this one is spent.
    assert reserved.settle(40, 12, OCTOBER) == Balance(MONTHLY, 202611, 30, 0)
    assert Balance(FOR_ALL, 0, 30, 40).settle(40, 12, OCTOBER) == Balance(FOR_ALL, 0, 42, 0)


def test_a_budget_counts_tokens_or_money() -> None:
    rates, usage = Rates(3_000_000, 5_000_000), Usage(7, 11)
    assert budgets.amount(MONTHLY, rates, usage) == 18
    assert budgets.amount(FOR_ALL, rates, usage) == 7 * 3 + 11 * 5


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (MONTHLY, "The key's budget has 60 tokens left this month; this job may need 70"),
        (FOR_ALL, "The key's budget has 60 millionths of the currency unit left; this job may need 70"),
    ],
)
def test_a_refusal_says_whose_budget_what_is_left_and_what_is_needed(budget: Budget, message: str) -> None:
    assert budgets.refusal("key", Balance(budget, 0, 30, 10), 70) == message


def test_a_price_is_kept_to_the_millionth() -> None:
    assert pricing.rates(Price(0.15, 2.0000006)) == Rates(150_000, 2_000_001)


def test_a_part_of_a_millionth_counts_as_one() -> None:
    assert pricing.cost(Rates(1, 0), Usage(1, 0)) == 1
    assert pricing.cost(Rates(0, 1), Usage(1, 1_000_000)) == 1
    assert pricing.cost(Rates(0, 1), Usage(1, 1_000_001)) == 2
    assert pricing.cost(Rates(5, 7), Usage(0, 0)) == 0


def job(prompt_tokens: int | None, *contents: str) -> Job:
    messages = tuple(ChatMessage("user", content) for content in contents)
    sampling = Sampling(max_tokens=9)
    return Job(JobId("job_a"), AccountId("a"), KeyId("k"), "m", messages, sampling, 0, 0, prompt_tokens=prompt_tokens)


def test_a_job_needs_at_most_its_prompt_and_all_that_it_may_generate() -> None:
    assert pricing.most_usage(job(5, "Hello")) == Usage(5, 9)
    assert pricing.most_usage(job(0, "Hello")) == Usage(0, 9)


def test_a_prompt_that_was_not_counted_is_taken_for_its_bytes_and_what_a_template_may_add() -> None:
    assert pricing.most_usage(job(None, "für", "a")) == Usage(4 + 1 + 2 * 16 + 256, 9)
