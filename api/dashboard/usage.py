"""Usage."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.rendering import page
from api.dashboard.routing import pages

router = pages()


@router.get("/usage")
async def usage(request: Request) -> Response:
    return page(request, "usage.html")
