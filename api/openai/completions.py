"""Chat completions, whole and in chunks, as OpenAI's clients read them."""

from typing import Literal, NotRequired

import msgspec
from typing_extensions import TypedDict

from api.http.sse import DONE, PING
from api.jobs.schemas import TokenUsage, usage_body
from api.openai.error_shape import failure_body
from api.replica.live import Piece
from cluster.ids import JobId
from cluster.messages.marks import FinishReason
from cluster.messages.work import Accepted, End, Failed, Finished

_json = msgspec.json.Encoder()


class AssistantMessage(TypedDict):
    role: Literal["assistant"]
    content: str
    refusal: None


class CompletionChoice(TypedDict):
    index: int
    message: AssistantMessage
    finish_reason: FinishReason
    logprobs: None


class ChatCompletion(TypedDict):
    """A whole answer. The header `X-Job-Id` names its job."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: TokenUsage


class ChunkDelta(TypedDict, total=False):
    role: Literal["assistant"]
    content: str
    refusal: None


class ChunkChoice(TypedDict):
    index: int
    delta: ChunkDelta
    finish_reason: FinishReason | None
    logprobs: None


class ChatCompletionChunk(TypedDict):
    """A part of an answer. `usage` is there if it was asked for, and null in all but the last chunk."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[TokenUsage | None]


def completion(accepted: Accepted, content: str, end: Finished) -> ChatCompletion:
    return {
        "id": _id(accepted.id),
        "object": "chat.completion",
        "created": accepted.created_ms // 1000,
        "model": accepted.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "finish_reason": end.finish_reason,
                "logprobs": None,
            }
        ],
        "usage": usage_body(end.usage),
    }


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
        body = _chunk(self._accepted, choices)
        return body | {"usage": None} if self._include_usage else body


def _chunk(accepted: Accepted, choices: list[ChunkChoice]) -> ChatCompletionChunk:
    return {
        "id": _id(accepted.id),
        "object": "chat.completion.chunk",
        "created": accepted.created_ms // 1000,
        "model": accepted.model,
        "choices": choices,
    }


def _id(job_id: JobId) -> str:
    return f"chatcmpl-{job_id.removeprefix('job_')}"


def _event(body: object) -> bytes:
    return b"data: %b\n\n" % _json.encode(body)
