"""Limits and budgets, of keys and of accounts."""

from typing import Annotated, NotRequired

from msgspec import structs
from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import INT64, Count, ExactRequest
from cluster.messages.money import Budget, BudgetPeriod, BudgetState, BudgetUnit
from cluster.messages.people import KeyLimits

AtLeastOne = Annotated[int, Field(ge=1)]


class LimitsRequest(ExactRequest):
    """What may be asked for. Left out, a limit is the account's, or else the default one."""

    submissions_per_minute: Count | None = None
    submissions_per_hour: Count | None = None
    reads_per_minute: Count | None = None
    tokens_per_minute: Count | None = None

    def over(self, base: KeyLimits) -> KeyLimits:
        """`base`, with what was asked for in its place."""
        return structs.replace(base, **self.model_dump(exclude_none=True))


class BudgetRequest(ExactRequest):
    """What may be consumed: tokens, or millionths of the currency unit, per calendar month (UTC) or in all."""

    unit: BudgetUnit
    amount: Annotated[int, Field(ge=0, le=INT64)]
    period: BudgetPeriod

    def budget(self) -> Budget:
        return Budget(self.unit, self.amount, self.period)


class Limits(TypedDict):
    """Requests and tokens that are let through in a window of the clock. Without `tokens_per_minute`, any tokens."""

    submissions_per_minute: AtLeastOne
    submissions_per_hour: AtLeastOne
    reads_per_minute: AtLeastOne
    tokens_per_minute: NotRequired[AtLeastOne]


class BudgetUse(TypedDict):
    """A budget, what has been spent of it in its period, and what is reserved for jobs that have not ended."""

    unit: BudgetUnit
    amount: Annotated[int, Field(ge=0)]
    period: BudgetPeriod
    spent: Annotated[int, Field(ge=0)]
    reserved: Annotated[int, Field(ge=0)]


def limits_body(limits: KeyLimits) -> Limits:
    body: Limits = {
        "submissions_per_minute": limits.submissions_per_minute,
        "submissions_per_hour": limits.submissions_per_hour,
        "reads_per_minute": limits.reads_per_minute,
    }
    if limits.tokens_per_minute is not None:
        body["tokens_per_minute"] = limits.tokens_per_minute
    return body


def budget_body(state: BudgetState) -> BudgetUse:
    budget = state.budget
    return {
        "unit": budget.unit,
        "amount": budget.amount,
        "period": budget.period,
        "spent": state.spent,
        "reserved": state.reserved,
    }
