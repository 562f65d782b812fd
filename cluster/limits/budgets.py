"""Budgets: what has been spent of one, what is reserved of it for jobs that run, and what is left.

A job reserves the most that it can consume before it exists, and settles when it ends: whatever happens at once, no
budget is overshot. Months are numbers like 202611, in UTC; a job is spent in the month it ends in.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cluster.clock import utc_month
from cluster.limits.pricing import cost
from cluster.messages.money import Budget, BudgetState, Rates, Usage

THRESHOLDS: Final = (80, 100)
"""Of a budget, in percent: that so much is spent is told to who wants to know."""

_NEARLY_SPENT: Final = THRESHOLDS[0]


class Balance(Struct, frozen=True):
    """A budget as it stands in `month`, which is 0 if it is for all time.

    `told` is the highest threshold of which it has been told that it was reached, in this month; 0 if none.
    """

    budget: Budget
    month: int = 0
    spent: int = 0
    reserved: int = 0
    told: int = 0

    @property
    def left(self) -> int:
        return max(0, self.budget.amount - self.spent - self.reserved)

    @property
    def state(self) -> BudgetState:
        return BudgetState(self.budget, self.spent, self.reserved)

    def at(self, now_ms: int) -> "Balance":
        """The balance at this time: a new month has spent nothing yet, but what is reserved stays reserved."""
        month = _month(self.budget, now_ms)
        # A month that has been left does not come back, whatever the clock says.
        return replace(self, month=month, spent=0, told=0) if month > self.month else self

    def reaches(self, threshold: int) -> bool:
        """Whether so much of it is spent, in percent."""
        return self.spent * 100 >= self.budget.amount * threshold

    @property
    def untold(self) -> tuple[int, ...]:
        """The thresholds that are reached and have not been told of."""
        return tuple(each for each in THRESHOLDS if each > self.told and self.reaches(each))

    def telling(self) -> "Balance":
        """The balance once these have been told of."""
        return replace(self, told=max((self.told, *self.untold)))

    def becoming(self, amount: int) -> "Balance":
        """The balance with another amount. What of that is spent by now is nothing to be told of."""
        changed = replace(self, budget=replace(self.budget, amount=amount), told=0)
        return changed.telling()

    def refusing(self) -> "Balance":
        """The balance when a job had no room in it: with most of it spent, it is as good as all."""
        return replace(self, told=THRESHOLDS[-1]) if self.reaches(_NEARLY_SPENT) else self

    def reserve(self, amount: int) -> "Balance":
        return replace(self, reserved=self.reserved + amount)

    def settle(self, reserved: int, spent: int, ended_ms: int) -> "Balance":
        """Free what a job had reserved and spend what it consumed, in the month it ended in."""
        now = self.at(ended_ms)
        counts = _month(self.budget, ended_ms) == now.month
        return replace(now, reserved=now.reserved - reserved, spent=now.spent + (spent if counts else 0))


def fresh(budget: Budget, now_ms: int) -> Balance:
    """The balance of a new budget."""
    return Balance(budget, _month(budget, now_ms))


def amount(budget: Budget, rates: Rates, usage: Usage) -> int:
    """How much of a budget of this unit the usage is."""
    if budget.unit == "money":
        return cost(rates, usage)
    return usage.prompt_tokens + usage.completion_tokens


def refusal(whose: str, balance: Balance, needed: int) -> str:
    """What a client is told whose job has no room."""
    unit = "tokens" if balance.budget.unit == "tokens" else "millionths of the currency unit"
    period = " this month" if balance.budget.period == "month" else ""
    return f"The {whose}'s budget has {balance.left} {unit} left{period}; this job may need {needed}"


def _month(budget: Budget, ms: int) -> int:
    return utc_month(ms) if budget.period == "month" else 0
