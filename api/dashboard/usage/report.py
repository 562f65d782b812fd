"""Usage: exact sums of a time, by what is asked for, as plots, as a table and as CSV."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, NamedTuple
from urllib.parse import urlencode

from fastapi import Depends, Query, Response
from starlette.requests import Request

from api.dashboard.owners import accounts_of
from api.dashboard.paging import ROWS
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.dashboard.usage.periods import NAMES, Day, Period, PeriodName
from api.dashboard.usage.plots import daily
from api.http import parameters as queries
from api.http.answers import Answer
from api.http.bodies import AnyText
from api.http.dependencies import Caller, CurrentGateway
from api.replica.gateway import Gateway
from cluster.errors import BadRequest
from cluster.ids import AccountId
from cluster.keys import EVERYBODY, account_seen, accounts_named
from cluster.messages.money import UsageGrouping, UsageQuery, UsageSum
from cluster.messages.people import Principal

router = pages()

_GROUPINGS: Mapping[UsageGrouping, str] = {"model": "Model", "key": "Key", "day": "Day", "account": "Account"}


class Asked(NamedTuple):
    """What the page was asked for. Without an `account_id` it is of all accounts."""

    period: Period
    group_by: UsageGrouping
    account_id: AccountId | None

    def query(self, *group_by: UsageGrouping, after: str | None = None, limit: int | None = None) -> UsageQuery:
        period = self.period
        place = None if after is None else (after,)
        return UsageQuery(self.account_id, period.since_ms, period.until_ms, group_by, place, limit)

    def parameters(self) -> dict[str, str]:
        """What an address has to say to ask for this."""
        whose = self.account_id or EVERYBODY
        said: dict[str, str] = {"period": self.period.name, "group_by": self.group_by, "account": whose}
        if self.period.name != "days":
            return said
        days = {"since": self.period.first, "until": self.period.last}
        return said | {name: day.isoformat() for name, day in days.items() if day is not None}


async def _asked(
    gateway: CurrentGateway,
    caller: Caller,
    period: PeriodName = "month",
    since: Day = None,
    until: Day = None,
    group_by: UsageGrouping = "model",
    account: queries.AccountOrAll = None,
) -> Asked:
    """Raises Forbidden for another account than a member's own."""
    whose = account_seen(caller) if account is None else accounts_named(caller, account)
    return Asked(Period.of(period, since, until, gateway.now_ms()), group_by, whose)


AskedFor = Annotated[Asked, Depends(_asked)]


@router.get("/usage")
async def usage(
    request: Request,
    gateway: CurrentGateway,
    caller: Caller,
    asked: AskedFor,
    after: Annotated[AnyText | None, Query()] = None,
) -> Response:
    """All of it, and of the table those rows that come `after` a group."""
    if after is not None and asked.group_by == "day":
        _check_day(after)
    (total,) = await gateway.usage.sums(asked.query())
    # One more than are shown tells whether more follow.
    rows = await gateway.usage.sums(asked.query(asked.group_by, after=after, limit=ROWS + 1))
    shown = {
        "asked": asked,
        "total": total,
        "rows": rows[:ROWS],
        "names": await _names(gateway, caller, asked.group_by, rows),
        "groupings": {name: told for name, told in _GROUPINGS.items() if caller.role == "admin" or name != "account"},
        "periods": NAMES,
        "accounts": await accounts_of(gateway, caller),
        "here": _address("/usage", asked.parameters()),
        "more": _address("/usage", {**asked.parameters(), "after": rows[ROWS - 1].groups[0]}) if rows[ROWS:] else None,
        "is_first": after is None,
        "plots": _address("/usage/plots", asked.parameters()),
        "csv": _address("/api/v1/usage", _csv(asked)),
    }
    return page(request, "usage.html", shown)


@router.get("/usage/plots")
async def plots(gateway: CurrentGateway, asked: AskedFor) -> Response:
    """What the plots show."""
    sums = await gateway.usage.sums(asked.query("day", "model"))
    return Answer(daily(sums, asked.period.first, asked.period.last), headers={"Cache-Control": "no-store"})


def _check_day(after: str) -> None:
    """Raises BadRequest for what is no day."""
    try:
        date.fromisoformat(after)
    except ValueError:
        raise BadRequest("after: must be a day") from None


def _address(path: str, parameters: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(parameters)}"


def _csv(asked: Asked) -> dict[str, str]:
    account = asked.account_id or EVERYBODY
    return {"format": "csv", "group_by": asked.group_by, "account": account, **asked.period.query()}


async def _names(
    gateway: Gateway, caller: Principal, group_by: UsageGrouping, rows: Sequence[UsageSum]
) -> Mapping[str, str]:
    """What people call the accounts or keys of these rows."""
    ids = {row.groups[0] for row in rows}
    match group_by:
        case "account":
            return {account.id: account.name for account in await accounts_of(gateway, caller) if account.id in ids}
        case "key":
            return {key.id: key.name for key in await gateway.keys.of(account_seen(caller)) if key.id in ids}
        case _:
            return {}
