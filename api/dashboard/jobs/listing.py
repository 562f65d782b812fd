"""Jobs: those that somebody looks for, newest first."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

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
from api.jobs.schemas import Job, job_body
from api.replica.gateway import Gateway
from cluster.ids import AccountId
from cluster.keys import account_seen, accounts_named
from cluster.messages.people import Principal
from cluster.messages.records import EndedRecord, JobQuery, JobRecord

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
    request: Request, gateway: Gateway, caller: Principal, query: JobQuery, account: AccountId | None
) -> dict[str, object]:
    """A page of jobs: of its account for a member, of all for an admin who names none."""
    seen = account_seen(caller) if account is None else accounts_named(caller, account)
    found = await gateway.jobs.page(seen, query)
    given = {name: value for name, value in request.query_params.items() if name != "cursor" and value}
    return {
        "jobs": [_row(record, gateway.now_ms()) for record in found.records],
        "older": None if found.next is None else without_empty({**given, "cursor": encode_cursor(found.next)}),
        "newest": without_empty(given),
        "is_first": query.before is None,
        "given": given,
        "account_names": await _names(gateway, caller, found.records),
    }


def _row(record: JobRecord, now_ms: int) -> tuple[Job, int]:
    """A job, and how many milliseconds it took, or has taken so far."""
    until_ms = record.ended_ms if isinstance(record, EndedRecord) else now_ms
    return job_body(record, with_owner=True), max(0, until_ms - record.created_ms)


async def _names(gateway: Gateway, caller: Principal, records: Sequence[JobRecord]) -> dict[str, str]:
    """For admins, the names of the accounts that these jobs are of."""
    if caller.role != "admin":
        return {}
    accounts = await asyncio.gather(*(gateway.accounts.get(each) for each in {record.account_id for record in records}))
    return {account.id: account.name for account in accounts}


async def _choices(gateway: Gateway, caller: Principal) -> dict[str, object]:
    """What the form has to choose from."""
    keys = await gateway.keys.of(account_seen(caller))
    accounts = await gateway.accounts.all() if caller.role == "admin" else []
    models = [name for model in gateway.catalogue.models for name in (model.id, *(each.id for each in model.adapters))]
    return {
        "models": models[:_MOST_CHOICES],
        "keys": [*reversed(keys)][:_MOST_CHOICES],
        "accounts": [*reversed(accounts)][:_MOST_CHOICES],
    }
