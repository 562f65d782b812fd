"""Settings: what each of its pages is for."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.rendering import page
from api.dashboard.routing import pages

router = pages()


@router.get("/settings")
async def index(request: Request) -> Response:
    return page(request, "settings/index.html")
