"""A client that waits for its job: when it hangs up, the job is cancelled, unless others read it too."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from actors.wire.calls import tell
from api.http.sse import EventStream, left
from api.replica.gateway import Gateway
from api.replica.intake import accept
from api.replica.streams import Piece
from cluster.errors import InfernetError
from cluster.messages.people import Principal
from cluster.messages.work import Accepted, End, Order

T = TypeVar("T")


class Attendance:
    """One client at one job, until the job ends or the client goes."""

    def __init__(self, gateway: Gateway, caller: Principal, accepted: Accepted, is_new: bool) -> None:
        self._gateway = gateway
        self._account_id = caller.account_id
        self._job_id = accepted.id
        self._is_new = is_new
        self._ended = False

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The job's text from the start, as it comes, then its end."""
        reading = self._gateway.streams.read(self._job_id, self._account_id, 0, self._is_new)
        async with aclosing(reading) as pieces:
            async for piece in pieces:
                self._ended = piece.end is not None
                yield piece

    async def whole(self, receive: Receive) -> tuple[str, End]:
        """The job's text and its end. Raises ClientDisconnect when the client goes first."""
        try:
            return await _while_there(receive, self._gather())
        finally:
            self.leave()

    def leave(self) -> None:
        """The client is served, or has gone."""
        if not self._ended:
            # Told, not awaited: the request may have been cancelled, and this must happen all the same.
            tell(self._gateway.forsake(self._job_id), "cancelling the job of a client that has gone")

    async def _gather(self) -> tuple[str, End]:
        texts: list[str] = []
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                if piece.end is not None:
                    return "".join(texts), piece.end
                texts.append(piece.text)
        raise AssertionError("a job's pieces end with its end")


class AttendedStream(EventStream):
    """The stream of a job that lasts no longer than the client's interest in it."""

    def __init__(self, attendance: Attendance, headers: Mapping[str, str], encode: Callable[[Piece], bytes]) -> None:
        super().__init__(attendance.pieces(), headers, encode)
        self._attendance = attendance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._attendance.leave()


async def attend(gateway: Gateway, caller: Principal, order: Order, idempotency_key: str | None) -> Accepted:
    """As `accept`. The job of a client that goes before it is accepted is cancelled too."""
    accepting = asyncio.create_task(accept(gateway, caller, order, idempotency_key))
    try:
        return await asyncio.shield(accepting)
    except asyncio.CancelledError:
        # A job on its way into the database cannot be called back.
        tell(_forsake_once_accepted(gateway, accepting), "cancelling the job of a client that has gone")
        raise


async def _forsake_once_accepted(gateway: Gateway, accepting: asyncio.Task[Accepted]) -> None:
    try:
        accepted = await accepting
    except InfernetError:
        return
    await gateway.forsake(accepted.id)


async def _while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. When the client goes first, `work` is cancelled, and ClientDisconnect raised."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
