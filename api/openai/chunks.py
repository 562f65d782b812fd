"""A job's text as the events of a streamed chat completion."""

import msgspec

from api.http.sse import DONE, PING
from api.jobs.schemas import usage_body
from api.openai.completions import ChatCompletionChunk, ChunkChoice, ChunkDelta, chunk
from api.openai.error_shape import failure_body
from api.replica.streams import Piece
from cluster.messages.work import Accepted, End, Failed, FinishReason

_json = msgspec.json.Encoder()


class Chunks:
    """Encodes the pieces of one job, in their order, for one client."""

    def __init__(self, accepted: Accepted, include_usage: bool) -> None:
        self._accepted = accepted
        self._include_usage = include_usage
        self._begun = False

    def encode(self, piece: Piece) -> bytes:
        """The events that tell of this piece."""
        if piece.end is not None:
            return self._end(piece.end)
        if not piece.text:
            return PING
        return self._beginning() + self._choice({"content": piece.text})

    def _beginning(self) -> bytes:
        """Who speaks, once."""
        if self._begun:
            return b""
        self._begun = True
        return self._choice({"role": "assistant", "content": "", "refusal": None})

    def _end(self, end: End) -> bytes:
        if isinstance(end, Failed):
            return _event(failure_body(end))
        events = self._beginning() + self._choice({}, end.finish_reason)
        if self._include_usage:
            events += _event(self._chunk([]) | {"usage": usage_body(end.usage)})
        return events + DONE

    def _choice(self, delta: ChunkDelta, finish_reason: FinishReason | None = None) -> bytes:
        choice: ChunkChoice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return _event(self._chunk([choice]))

    def _chunk(self, choices: list[ChunkChoice]) -> ChatCompletionChunk:
        body = chunk(self._accepted, choices)
        return body | {"usage": None} if self._include_usage else body


def _event(body: object) -> bytes:
    return b"data: %b\n\n" % _json.encode(body)
