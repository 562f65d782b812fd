"""Server-sent events as the contract writes them.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.replica.door_counts import DoorCounts
from api.replica.live import Piece
from cluster.messages.marks import PLAIN, Turn
from cluster.messages.work import End, Finished

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
END_ID = "end"
"""The id of a stream's end. Browsers' event sources connect again then, and send it: all has been told."""
_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
_json = msgspec.json.Encoder()


def encode(piece: Piece) -> bytes:
    """One event; its id is the position that is reached with it."""
    if piece.end is not None:
        return _encode_end(piece.end)
    if not piece.text:
        return PING if piece.is_sign_of_life else b""
    said = {"text": piece.text} if piece.turn is PLAIN else _said(piece.turn, piece.text)
    return b"id: %b\ndata: %b\n\n" % (_event_id(piece), _json.encode(said))


def _said(turn: Turn, text: str) -> dict[str, Any]:
    """Text of this kind; of choices but the first, the event says which it is of."""
    said = _of_kind(turn, text)
    return said if turn.choice == 0 else said | {"choice": turn.choice}


def _of_kind(turn: Turn, text: str) -> dict[str, Any]:
    match turn.kind:
        case "content":
            return {"text": text}
        case "reasoning":
            return {"reasoning": text}
        case "tool":
            return {"tool_calls": [{"index": turn.call, "id": turn.id, "name": text}]}
        case "arguments":
            return {"tool_calls": [{"index": turn.call, "id": turn.id, "arguments": text}]}


def _event_id(piece: Piece) -> bytes:
    """How many code points have been delivered; of a text that is not the job's first one, the epoch before that."""
    return b"%d" % piece.offset if piece.epoch == 1 else b"%d-%d" % (piece.epoch, piece.offset)


def _encode_end(end: End) -> bytes:
    told = DONE if isinstance(end, Finished) else event({"error": end.error, "message": end.error_message})
    return b"id: %b\n%b" % (END_ID.encode(), told)


def event(body: object) -> bytes:
    """An event without an id."""
    return b"data: %b\n\n" % _json.encode(body)


class EventStream(Response):
    """Sends pieces as they come. It owns the generator, and closes it when the client goes or the end is sent."""

    media_type = "text/event-stream"

    def __init__(
        self,
        pieces: AsyncGenerator[Piece, None],
        headers: Mapping[str, str] | None = None,
        encode: Callable[[Piece], bytes] = encode,
        resumes: bool = False,
    ) -> None:
        """`resumes`: the client has had a part of it before."""
        super().__init__(headers={**_HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._pieces = pieces
        self._encode = encode
        self._resumes = resumes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts: DoorCounts = scope["app"].state.gateway.counts
        with counts.stream(self._resumes):
            await self._stream(receive, send)

    async def _stream(self, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._pieces.aclose()
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": self._encode(piece), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
