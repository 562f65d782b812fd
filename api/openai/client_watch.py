"""Watching a client that waits for its job: when it hangs up, the job is cancelled, unless others read it too."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from actors.wire.calls import tell
from api.http.sse import EventStream, left
from api.replica.gateway import Gateway
from api.replica.live import Piece, is_lost
from cluster.errors import InfernetError
from cluster.messages.marks import PLAIN, Mark
from cluster.messages.people import Principal
from cluster.messages.work import Accepted, End, Order

T = TypeVar("T")

_CANCELLING = "cancelling the job of a client that has gone"


async def accept_for_client(gateway: Gateway, caller: Principal, order: Order, idempotency_key: str | None) -> Accepted:
    """As `Intake.accept`. The job of a client that hangs up before that is cancelled too, as by a `ClientWatch`."""
    accepting = asyncio.create_task(gateway.intake.accept(caller, order, idempotency_key))
    try:
        return await asyncio.shield(accepting)
    except asyncio.CancelledError:
        # A job on its way into the database cannot be called back.
        if idempotency_key is None:
            tell(_cancel_once_accepted(gateway, accepting), _CANCELLING)
        raise


class Answer(NamedTuple):
    """What a job has answered: its text, and what that means."""

    text: str
    marks: Sequence[Mark]


class ClientWatch:
    """One client that waits for one job, until the job ends or the client hangs up.

    Who has named its submission by an idempotency key may come back for its answer: its job goes on.
    """

    def __init__(self, gateway: Gateway, caller: Principal, accepted: Accepted, may_come_back: bool) -> None:
        self._gateway = gateway
        self._account_id = caller.account_id
        self._job_id = accepted.id
        self._may_come_back = may_come_back
        self._ended = False

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The job's text from the start, as it comes, then its end."""
        reading = self._gateway.streams.read(self._job_id, self._account_id, is_new=not self._may_come_back)
        async with aclosing(reading) as pieces:
            async for piece in pieces:
                self._ended = piece.end is not None
                yield piece

    async def whole(self, receive: Receive) -> tuple[Answer, End]:
        """The job's text and its end. Raises ClientDisconnect when the client hangs up first."""
        try:
            return await _unless_left(receive, self._gather())
        finally:
            self.close()

    def close(self) -> None:
        """The client is served, or has hung up: then its job is cancelled, unless somebody else reads it or may."""
        if not self._ended and not self._may_come_back:
            # Told, not awaited: the request may have been cancelled, and this must happen all the same.
            tell(self._gateway.jobs.cancel_if_unread(self._job_id), _CANCELLING)

    async def _gather(self) -> tuple[Answer, End]:
        """The job's text and its end. A text that was lost midway is read again: nobody has been told it."""
        while is_lost((answer := await self._gather_once())[1]):
            self._ended = False
        return answer

    async def _gather_once(self) -> tuple[Answer, End]:
        texts: list[str] = []
        marks: list[Mark] = []
        turn = PLAIN
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                if piece.text and piece.turn is not turn:
                    turn = piece.turn
                    marks.append(turn)
                marks += piece.notes
                if piece.end is not None:
                    return Answer("".join(texts), marks), piece.end
                texts.append(piece.text)
        raise AssertionError("a job's pieces end with its end")


class WatchedStream(EventStream):
    """The stream of a job that is cancelled when its client hangs up."""

    def __init__(self, watch: ClientWatch, headers: Mapping[str, str], encode: Callable[[Piece], bytes]) -> None:
        super().__init__(watch.pieces(), headers, encode)
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._watch.close()


async def _cancel_once_accepted(gateway: Gateway, accepting: asyncio.Task[Accepted]) -> None:
    try:
        accepted = await accepting
    except InfernetError:
        return
    await gateway.jobs.cancel_if_unread(accepted.id)


async def _unless_left(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. When the client hangs up first, `work` is cancelled, and ClientDisconnect raised."""
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
