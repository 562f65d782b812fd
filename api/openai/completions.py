"""Chat completions, whole and in chunks, as OpenAI's clients read them."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from api.jobs.schemas import TokenUsage, usage_body
from cluster.ids import JobId
from cluster.messages.work import Accepted, Finished, FinishReason


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


def chunk(accepted: Accepted, choices: list[ChunkChoice]) -> ChatCompletionChunk:
    return {
        "id": _id(accepted.id),
        "object": "chat.completion.chunk",
        "created": accepted.created_ms // 1000,
        "model": accepted.model,
        "choices": choices,
    }


def _id(job_id: JobId) -> str:
    return f"chatcmpl-{job_id.removeprefix('job_')}"
