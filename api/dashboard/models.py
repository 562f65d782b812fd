"""Models."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.rendering import page
from api.dashboard.routing import pages

router = pages()


@router.get("/models")
async def models(request: Request) -> Response:
    return page(request, "models.html")
