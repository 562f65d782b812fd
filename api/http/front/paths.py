"""Paths as clients put them together, of parts that begin and end with slashes: `//v1/models/` is `/v1/models`.

That is for clients of other servers, and for those who watch this one. Of this system's own API each path is one.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_OWN_API = "/api"
_SLASHES = re.compile("//+")


class PlainPaths:
    """Each request is for the path without the slashes that are too many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_under(_OWN_API, path := plain(scope["path"])):
            scope["path"] = path
        await self._app(scope, receive, send)


def plain(path: str) -> str:
    """The path with one slash where there are several, and none at its end."""
    return _SLASHES.sub("/", path).removesuffix("/") or "/"


def is_under(prefix: str, path: str) -> bool:
    """Whether the path is this one, or one below it."""
    return path == prefix or path.startswith(f"{prefix}/")
