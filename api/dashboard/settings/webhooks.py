"""Webhooks."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.rendering import page
from api.dashboard.routing import pages

router = pages()


@router.get("/settings/webhooks")
async def webhooks(request: Request) -> Response:
    return page(request, "settings/webhooks.html")
