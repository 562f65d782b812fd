"""The first steps of every request but those that watch the system: authenticate, then charge the key's window."""

import logging
import re

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import routes
from api.http.answers import error_response, limit_headers, told_of
from api.http.callers import caller
from api.http.front.paths import is_under
from api.http.incoming import Incoming
from api.replica.door_counts import DoorCounts
from api.replica.gateway import Gateway
from cluster.limits.windows import Bucket, Decision, refusal

logger = logging.getLogger(__name__)

_GUARDED = ("/api", "/v1", "/v2", "/tokenize", "/detokenize", "/score", "/rerank")
_NODE_STATUS = re.compile(r"/api/v1/nodes/[^/]+/status")
_POOLING = ("/v1/embeddings", "/score", "/v1/score", "/rerank", "/v1/rerank", "/v2/rerank")
_SUBMISSIONS = {("POST", path) for path in ("/api/v1/jobs", "/v1/chat/completions", *_POOLING)}


class Admission:
    """Nothing is said about a path before the caller is known; every answer to a known caller has the limit headers.

    What goes wrong before an answer begins is answered in the one shape, which tells nothing of the inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming = Incoming(scope, receive)
        sending = _ChargedSend(scope, send, incoming)
        try:
            if _is_guarded(scope):
                await _admit(scope, sending)
            await self._app(scope, incoming, sending)
        except ClientDisconnect:
            return
        except Exception as error:
            if sending.begun:
                # Not the error itself: it may hold what the client sent.
                logger.error("%s failed midway: %s", told_of(scope), type(error).__name__)  # noqa: TRY400
                raise
            await error_response(Request(scope), error)(scope, incoming, sending)


class _ChargedSend:
    """An answer on its way out, which is counted. It carries the limit headers of `charged`, unless it has its own.

    Where the client does not come to the end of its request, the answer is the connection's last one.
    """

    def __init__(self, scope: Scope, send: Send, incoming: Incoming) -> None:
        self._scope = scope
        self._send = send
        self._incoming = incoming
        self.charged: Decision | None = None
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            if not await self._incoming.is_over():
                headers["Connection"] = "close"
            if self.charged is not None:
                for name, value in limit_headers(self.charged).items():
                    headers.setdefault(name, value)
            counts: DoorCounts = self._scope["app"].state.gateway.counts
            counts.answered(routes.template(self._scope), self._scope["method"], message["status"])
        await self._send(message)


async def _admit(scope: Scope, sending: _ChargedSend) -> None:
    """Raises Unauthorized, RateLimited, and Forbidden for a session's change without its token."""
    gateway: Gateway = scope["app"].state.gateway
    principal = await caller(gateway, scope)
    sending.charged = await gateway.charge(principal, _bucket(scope))
    if not sending.charged.allowed:
        raise refusal(sending.charged, "requests")
    scope.setdefault("state", {})["principal"] = principal


def _is_guarded(scope: Scope) -> bool:
    if scope["method"] == "GET" and _NODE_STATUS.fullmatch(scope["path"]):
        return False
    return any(is_under(prefix, scope["path"]) for prefix in _GUARDED)


def _bucket(scope: Scope) -> Bucket:
    return "submissions" if (scope["method"], scope["path"]) in _SUBMISSIONS else "reads"
