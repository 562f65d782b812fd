"""Jobs."""

from fastapi import Response
from starlette.requests import Request

from api.dashboard.rendering import page
from api.dashboard.routing import pages

router = pages()


@router.get("/jobs")
async def jobs(request: Request) -> Response:
    return page(request, "jobs.html")
