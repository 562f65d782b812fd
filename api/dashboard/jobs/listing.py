"""Jobs: those that somebody looks for, newest first."""

from typing import Annotated, Any

from fastapi import Depends, Response
from starlette.requests import Request
from starlette.responses import RedirectResponse

from api.dashboard.jobs.addresses import without_empty
from api.dashboard.paging import ROWS
from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http import parameters as queries
from api.http.dependencies import Caller, CurrentGateway
from api.http.parameters import decode_cursor, encode_cursor
from api.jobs.schemas import job_body
from api.replica.gateway import Gateway
from cluster.keys import account_seen, accounts_named
from cluster.messages.people import Principal
from cluster.messages.records import JobQuery

router = pages()

_MOST_CHOICES = 100
"""Of models, keys and accounts that can be chosen from. Others are reached by an address."""


async def _filters(
    status: queries.StatusName = "all",
    since: queries.Since = None,
    cursor: queries.Cursor = None,
    until: queries.Until = None,
    model: queries.ModelName = None,
    key: queries.KeyName = None,
    node: queries.NodeName = None,
    error: queries.ErrorCode = None,
) -> JobQuery:
    before = None if cursor is None else decode_cursor(cursor)
    return JobQuery(ROWS, queries.state_of(status), since, before, until, model, key, node, error)


Filters = Annotated[JobQuery, Depends(_filters)]


@router.get("/jobs")
async def jobs(
    request: Request, gateway: CurrentGateway, caller: Caller, query: Filters, account: queries.AccountOrAll = None
) -> Response:
    return page(
        request,
        "jobs/list.html",
        await _listed(request, gateway, caller, query, account) | await _choices(gateway, caller),
    )


@router.get("/jobs/search")
async def search(request: Request) -> Response:
    """Where the form leads: the list, at an address that says what was filled in and no more."""
    return RedirectResponse(f"/jobs{without_empty(request.query_params)}", 303)


@router.get("/jobs/now")
async def now(
    request: Request, gateway: CurrentGateway, caller: Caller, query: Filters, account: queries.AccountOrAll = None
) -> Response:
    """The list alone, asked for again and again."""
    return page(request, "jobs/rows.html", await _listed(request, gateway, caller, query, account))


async def _listed(
    request: Request, gateway: Gateway, caller: Principal, query: JobQuery, account: Any
) -> dict[str, object]:
    """A page of jobs: of its account for a member, of all for an admin who names none."""
    seen = account_seen(caller) if account is None else accounts_named(caller, account)
    found = await gateway.jobs(seen, query)
    given = {name: value for name, value in request.query_params.items() if name != "cursor" and value}
    return {
        "jobs": [job_body(record, with_owner=True) for record in found.records],
        "older": None if found.next is None else without_empty({**given, "cursor": encode_cursor(found.next)}),
        "newest": without_empty(given),
        "is_first": query.before is None,
        "given": given,
        "account_names": await _account_names(gateway, caller),
    }


async def _choices(gateway: Gateway, caller: Principal) -> dict[str, object]:
    """What the form has to choose from."""
    keys = await gateway.keys(account_seen(caller))
    models = [name for model in gateway.catalogue.models for name in (model.id, *(each.id for each in model.adapters))]
    return {"models": models[:_MOST_CHOICES], "keys": [*reversed(keys)][:_MOST_CHOICES]}


async def _account_names(gateway: Gateway, caller: Principal) -> dict[str, str]:
    if caller.role != "admin":
        return {}
    return {account.id: account.name for account in await gateway.accounts()}
