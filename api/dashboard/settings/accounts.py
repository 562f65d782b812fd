"""Accounts."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.rendering import page
from api.dashboard.routing import pages
from api.http.dependencies import Admin

router = pages()


@router.get("/settings/accounts")
async def accounts(request: Request, caller: Admin) -> Response:
    return page(request, "settings/accounts.html")
