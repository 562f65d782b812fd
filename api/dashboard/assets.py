"""Scripts, styles and pictures of the pages, each under an address that changes with its content."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).with_name("static")

_FOR_A_YEAR = "public, max-age=31536000, immutable"
_ASKED_AGAIN = "no-cache"


@cache
def address(name: str) -> str:
    """Where a page finds this file."""
    digest = sha256((FOLDER / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"


class Assets(StaticFiles):
    """Serves the files. A browser asks for each of them once.

    What scripts import they name without its content: whether that is the same still, a browser asks each time.
    """

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["X-Content-Type-Options"] = "nosniff"
        if response.status_code == 200:
            response.headers["Cache-Control"] = _FOR_A_YEAR if scope["query_string"] else _ASKED_AGAIN
        return response
