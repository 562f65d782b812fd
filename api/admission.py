"""The first steps of every request under /api: authenticate, then charge the key's window."""

import logging
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.gateway import Gateway
from api.schemas import error_body
from cluster.errors import InfernetError, InternalError, RateLimited, Unauthorized
from cluster.limits import Bucket, Decision

logger = logging.getLogger(__name__)

_SUBMISSIONS = {("POST", "/api/v1/jobs")}


class Admission:
    """Nothing is said about a path before the caller is known; every answer to a known caller has the limit headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_guarded(scope["path"]):
            await self._app(scope, receive, send)
            return
        gateway: Gateway = scope["app"].state.gateway
        try:
            principal = await gateway.authenticate(_bearer_token(Request(scope)))
        except Unauthorized as error:
            await error_response(error)(scope, receive, send)
            return
        decision = await gateway.admit(principal, _bucket(scope))
        scope.setdefault("state", {})["principal"] = principal
        send = _with_headers(send, decision)
        if not decision.allowed:
            await error_response(_rate_limited(decision))(scope, receive, send)
            return
        await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What goes wrong before the answer begins is answered in the one shape, which tells nothing of the inside."""
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note_begin)
        except Exception as error:
            if begun:
                raise
            await internal_error_response(Request(scope), error)(scope, receive, send)


def error_response(error: InfernetError) -> JSONResponse:
    headers: dict[str, str] = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    return JSONResponse(error_body(error), error.status, headers)


def internal_error_response(request: Request, error: Exception) -> JSONResponse:
    """Tell the log which kind of error it was, and the client nothing of the inside."""
    # Neither the message nor the traceback: they may hold what the client sent.
    logger.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    return error_response(InternalError())


def _is_guarded(path: str) -> bool:
    if not path.startswith("/api/"):
        return False
    return not (path.startswith("/api/v1/nodes/") and path.endswith("/status"))


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized()
    return token.strip()


def _bucket(scope: Scope) -> Bucket:
    return "submissions" if (scope["method"], scope["path"]) in _SUBMISSIONS else "reads"


def _rate_limited(decision: Decision) -> RateLimited:
    return RateLimited(
        f"Rate limit of {decision.limit} requests exceeded; retry in {decision.retry_after_s} s",
        decision.retry_after_s,
    )


def _with_headers(send: Send, decision: Decision) -> Send:
    async def send_with_headers(message: Message | dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-RateLimit-Limit"] = str(decision.limit)
            headers["X-RateLimit-Remaining"] = str(decision.remaining)
            headers["X-RateLimit-Reset"] = str(decision.reset_s)
        await send(message)

    return send_with_headers
