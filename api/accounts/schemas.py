"""Accounts: who owns keys and jobs."""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import Change, ExactRequest, Name, Time
from api.keys.limits import BudgetRequest, BudgetUse, Limits, LimitsRequest, budget_body, limits_body
from cluster.clock import iso_utc
from cluster.ids import AccountId
from cluster.messages import people
from cluster.messages.money import BudgetState
from cluster.messages.people import KeyLimits

MAX_WEIGHT = 1_000
MOST_QUEUED = 1_000_000

Weight = Annotated[int, Field(ge=1, le=MAX_WEIGHT)]
MaxQueued = Annotated[int, Field(ge=1, le=MOST_QUEUED)]


class AccountRequest(ExactRequest):
    """An account to be made. Of `limits`, what is left out is the default."""

    name: Name
    limits: LimitsRequest | None = None
    budget: BudgetRequest | None = None
    weight: Weight = 1
    max_queued: MaxQueued | None = None

    def account(self, account_id: AccountId, created_ms: int, default: KeyLimits) -> people.Account:
        return people.Account(
            id=account_id,
            name=self.name,
            created_ms=created_ms,
            limits=None if self.limits is None else self.limits.over(default),
            budget=None if self.budget is None else BudgetState(self.budget.budget()),
            weight=self.weight,
            max_queued=self.max_queued,
        )


class AccountPatch(Change):
    """What of an account is to be otherwise: what is left out stays, null is the default. Of `limits`, what is left out
    is the default. A budget of the same unit and period goes on, with what has been spent of it; any other begins anew.
    """

    name: Annotated[Name, Field(default_factory=str)]
    limits: LimitsRequest | None = None
    budget: BudgetRequest | None = None
    weight: Weight | None = None
    max_queued: MaxQueued | None = None

    def change(self, default: KeyLimits) -> people.AccountChange:
        asked: dict[str, Any] = {}
        if self.asks_for("name"):
            asked["name"] = self.name
        if self.asks_for("limits"):
            asked["limits"] = None if self.limits is None else self.limits.over(default)
        if self.asks_for("budget"):
            asked["budget"] = None if self.budget is None else self.budget.budget()
        if self.asks_for("weight"):
            asked["weight"] = 1 if self.weight is None else self.weight
        if self.asks_for("max_queued"):
            asked["max_queued"] = self.max_queued
        return people.AccountChange(**asked)


class Account(TypedDict):
    """Without `limits` of its own, its keys have the default ones."""

    id: str
    name: str
    created_at: Time
    weight: Annotated[int, Field(ge=1, description="Its share beside other accounts that want a model")]
    max_queued: NotRequired[Annotated[int, Field(ge=1, description="How many of its jobs may wait for an engine")]]
    limits: NotRequired[Limits]
    budget: NotRequired[BudgetUse]


class AccountList(TypedDict):
    """Accounts, the oldest first."""

    accounts: list[Account]


def account_body(account: people.Account) -> Account:
    body: Account = {
        "id": account.id,
        "name": account.name,
        "created_at": iso_utc(account.created_ms),
        "weight": account.weight,
    }
    if account.max_queued is not None:
        body["max_queued"] = account.max_queued
    if account.limits is not None:
        body["limits"] = limits_body(account.limits)
    if account.budget is not None:
        body["budget"] = budget_body(account.budget)
    return body
