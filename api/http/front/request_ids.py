"""The id of a request: the client's own or a new one. Every answer tells it, and so do the lines that are logged."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.telemetry import origins

REQUEST_ID = "X-Request-Id"
REQUEST_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}"
"""What a client may call its request: anything else is answered under a name of ours."""

_is_request_id = re.compile(REQUEST_ID_PATTERN).fullmatch


def request_id_of(scope: Scope) -> str:
    """The id of this request; words where nobody has given it one, for an error is told in any case."""
    request_id: str = scope.get("state", {}).get("request_id", "without an id")
    return request_id


class RequestIds:
    """Gives each request its id. `tells` is False where the server around the application tells it already."""

    def __init__(self, app: ASGIApp, tells: bool = True) -> None:
        self._app = app
        self._tells = tells

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given(scope) or str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with origins.within(request_id, ""):
            await self._app(scope, receive, telling if self._tells else send)


def _given(scope: Scope) -> str | None:
    """What the client calls its request, if that can be used."""
    match Headers(scope=scope).getlist(REQUEST_ID):
        case [given] if _is_request_id(given):
            return given
    return None
