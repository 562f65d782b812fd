"""What happened in the last minutes. Only for admins."""

from fastapi import APIRouter, Response

from api.history.schemas import HistoryReport, history_body
from api.http import parameters as queries
from api.http.answers import Answer
from api.http.dependencies import Admin, CurrentGateway
from api.http.openapi import GUARDED, errors
from api.http.parameters import KnownAndOnce
from cluster.errors import BadRequest, Forbidden

router = APIRouter(tags=["usage"], dependencies=[KnownAndOnce], responses=errors(*GUARDED, BadRequest, Forbidden))


@router.get("/history", response_model=HistoryReport)
async def get_history(gateway: CurrentGateway, caller: Admin, minutes: queries.Minutes = 60) -> Response:
    """The last minutes of the whole system, and what today costs. Only for admins."""
    return Answer(history_body(await gateway.usage.history(minutes)))
