"""What work costs, what may be spent, and what has been."""

from typing import Literal

from msgspec import Struct

from cluster.ids import AccountId


class Rates(Struct, frozen=True, array_like=True):
    """What tokens cost: millionths of the currency unit per million tokens."""

    prompt: int = 0
    completion: int = 0


class Usage(Struct, frozen=True):
    """What a job has used. Of its prompt `cached_tokens` were in its engine's cache, of its answer it thought so many.

    These two are None where nobody can tell.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


BudgetUnit = Literal["tokens", "money"]


BudgetPeriod = Literal["month", "all"]


class Budget(Struct, frozen=True):
    """What a key or an account may consume: tokens or millionths of the currency unit, per month (UTC) or in all."""

    unit: BudgetUnit
    amount: int
    period: BudgetPeriod


class BudgetState(Struct, frozen=True):
    """A budget, what has been spent of it in its period, and what is reserved for jobs that have not ended."""

    budget: Budget
    spent: int = 0
    reserved: int = 0


UsageGrouping = Literal["account", "key", "model", "day"]


class UsageQuery(Struct, frozen=True):
    """Which usage to add up: of jobs that ended from `since_ms` on and before `until_ms`, of one account or of all.

    With a `limit` so many sums at most, those that come after the groups of `after`.
    """

    account_id: AccountId | None
    since_ms: int | None = None
    until_ms: int | None = None
    group_by: tuple[UsageGrouping, ...] = ()
    after: tuple[str, ...] | None = None
    limit: int | None = None


class UsageSum(Struct, frozen=True):
    """Usage added up of what has these `groups` in common, one of each grouping; `cost` is in millionths.

    Accounts, keys and models have their ids, and days, of UTC, are `YYYY-MM-DD`.
    """

    groups: tuple[str, ...]
    jobs: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
