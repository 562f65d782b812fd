"""What has been consumed, and what it costs."""

from fastapi import APIRouter, Response

from api.http import parameters as queries
from api.http.answers import Answer
from api.http.dependencies import Caller, CurrentGateway
from api.http.openapi import GUARDED, errors
from api.http.parameters import KnownAndOnce
from api.usage.schemas import UsageReport, usage_report_body
from cluster.errors import BadRequest, Forbidden
from cluster.keys import account_named
from cluster.messages.money import UsageQuery

router = APIRouter(tags=["usage"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest))


@router.get("/usage", response_model=UsageReport, responses=errors(BadRequest, Forbidden))
async def get_usage(
    gateway: CurrentGateway,
    caller: Caller,
    since: queries.Since = None,
    until: queries.Until = None,
    group_by: queries.GroupBy = None,
    account: queries.AccountName = None,
) -> Response:
    """The account's usage by jobs that ended in this time, added up; an admin may name another account."""
    query = UsageQuery(account_named(caller, account), since, until, group_by)
    return Answer(usage_report_body(await gateway.usage(query), group_by))
