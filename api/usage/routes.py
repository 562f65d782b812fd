"""What has been consumed, and what it costs."""

from typing import Annotated

from fastapi import APIRouter, Header, Response

from api.http import parameters as queries
from api.http.answers import Answer
from api.http.dependencies import Caller, CurrentGateway
from api.http.openapi import GUARDED, NO_JSON, errors
from api.http.parameters import KnownAndOnce
from api.usage.csv_table import MEDIA_TYPE, CsvTable
from api.usage.schemas import UsageReport, usage_report_body
from cluster.errors import BadRequest, Forbidden
from cluster.keys import accounts_named
from cluster.messages.money import UsageQuery

router = APIRouter(tags=["usage"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest))

_REPORT = {
    "description": "The sums. With `format=csv`, or `Accept: text/csv`: a table of them",
    "content": {MEDIA_TYPE: NO_JSON},
    "headers": {
        "Content-Disposition": {"schema": {"type": "string"}, "description": "With CSV: the name of a file"},
    },
}
Accept = Annotated[str, Header(include_in_schema=False)]


@router.get("/usage", response_model=UsageReport, responses={200: _REPORT, **errors(BadRequest, Forbidden)})
async def get_usage(
    gateway: CurrentGateway,
    caller: Caller,
    since: queries.Since = None,
    until: queries.Until = None,
    group_by: queries.GroupBy = None,
    account: queries.AccountOrAll = None,
    format: queries.UsageFormat = None,
    accept: Accept = "",
) -> Response:
    """The account's usage by jobs that ended in this time, added up; an admin may name another account, or `all`.

    As CSV it is sent as it is read, with `cost` in currency units.
    """
    groups = queries.groupings(group_by)
    query = UsageQuery(accounts_named(caller, account), since, until, groups)
    if format == "csv" or (format is None and wants_csv(accept)):
        parts = gateway.usage.parts(query)
        return CsvTable(groups, await anext(parts), parts)
    return Answer(usage_report_body(await gateway.usage.sums(query), groups))


def wants_csv(accept: str) -> bool:
    """Whether the header names CSV."""
    return any(kind.partition(";")[0].strip().lower() == MEDIA_TYPE for kind in accept.split(","))
