"""Pages of other origins, which browsers let ask only where the answers say that they may.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.front.request_ids import REQUEST_ID

EXPOSED = (
    "Location",
    "Retry-After",
    REQUEST_ID,
    "X-Job-Id",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Should-Retry",
)
"""Headers of answers that a page may read."""


class Cors(CORSMiddleware):
    """Answers browsers that ask, without a key, whether a page of these origins may; `*` are all.

    A page of any other origin is answered as if nobody had said where it is from.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=EXPOSED, max_age=600
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_from_elsewhere(Headers(scope=scope)):
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _is_from_elsewhere(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        return origin is not None and not self.is_allowed_origin(origin)
