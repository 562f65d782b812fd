"""Overview: how the network does, now and in the last hour."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import CurrentGateway

router = pages()


@router.get("/")
async def overview(request: Request, gateway: CurrentGateway) -> Response:
    return page(request, "overview.html", {"state": await gateway.state()})


@router.get("/overview/now")
async def now(request: Request, gateway: CurrentGateway) -> Response:
    """What changes, asked for again and again."""
    return page(request, "parts/overview_now.html", {"state": await gateway.state()})
