"""Paths as clients put them together, of parts that begin and end with slashes: `//v1/models/` is `/v1/models`."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("//+")


class PlainPaths:
    """Each request is for the path without the slashes that are too many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = plain(scope["path"])
            if path != scope["path"]:
                scope["path"] = path
        await self._app(scope, receive, send)


def plain(path: str) -> str:
    """The path with one slash where there are several, and none at its end."""
    return _SLASHES.sub("/", path).removesuffix("/") or "/"
