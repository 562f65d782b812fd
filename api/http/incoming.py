"""A request's body on its way in: what the client takes its time with, it does not take from others."""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from cluster.errors import BadRequest

BODY_S = 60.0
"""A body arrives within this time, of which only what is spent waiting for the client counts."""

LINGER_S = 5.0
"""An answer waits so long for the rest of a body that nobody needs, and its connection ends if it is not there."""


class Incoming:
    """Receives as ASGI has it. Raises BadRequest for a body that takes too long."""

    def __init__(self, scope: Scope, receive: Receive, body_s: float = BODY_S, linger_s: float = LINGER_S) -> None:
        headers = Headers(scope=scope)
        self._complete = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        self._asks_first = "expect" in headers
        self._given_up = False
        self._receive = receive
        self._turn = asyncio.Lock()
        self._body_s = body_s
        self._left_s = body_s
        self._linger_s = linger_s

    async def __call__(self) -> Message:
        while not self._complete and not self._given_up:
            message = await self._next(self._left_s)
            if message is not None:
                return message
            if self._left_s <= 0 and not self._given_up:
                raise BadRequest(f"Request body: did not arrive within {self._body_s:g} s")
        return await self._receive()

    async def is_over(self) -> bool:
        """Whether nothing more of the body is to come. Waits for the rest of it, and lets go of that.

        A client that is refused while it still sends may not look at the answer before it has sent everything; but one
        that has asked whether it may send at all is not told to.
        """
        give_up_s = time.monotonic() + self._linger_s
        while not self._complete and not self._asks_first:
            left_s = min(self._left_s, give_up_s - time.monotonic())
            if left_s <= 0:
                break
            await self._next(left_s)
        self._given_up = not self._complete
        return self._complete

    async def _next(self, limit_s: float) -> Message | None:
        """What comes next; None when nothing does in this time, or another reader got to the end."""
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(limit_s), self._turn:
                if self._complete:
                    return None
                message = await self._receive()
        except TimeoutError:
            return None
        finally:
            self._left_s -= time.monotonic() - began_s
        self._asks_first = False
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message
