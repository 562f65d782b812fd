"""The choices of a chat completion, whole and in chunks, as vLLM's server writes them."""

from collections.abc import Sequence
from typing import Any, Literal, NotRequired

import msgspec
from typing_extensions import TypedDict

from api.jobs.schemas import ToolCall, tool_calls_body
from cluster.messages.marks import FinishReason, Prompt, Stopped, Tokens, Turn
from cluster.messages.work import Finished
from cluster.text.answers import Choice

_decode = msgspec.json.decode


class AssistantMessage(TypedDict):
    role: str
    content: str | None
    refusal: None
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]


class Logprobs(TypedDict):
    """An entry for each token: `token`, `logprob`, `bytes` and `top_logprobs`."""

    content: list[dict[str, Any]]


class CompletionChoice(TypedDict):
    index: int
    message: AssistantMessage
    finish_reason: FinishReason
    logprobs: Logprobs | None
    stop_reason: NotRequired[int | str]
    token_ids: NotRequired[list[int]]


class FunctionDelta(TypedDict, total=False):
    name: str
    arguments: str


class ToolCallDelta(TypedDict):
    index: int
    id: NotRequired[str]
    type: NotRequired[Literal["function"]]
    function: FunctionDelta


class ChunkDelta(TypedDict, total=False):
    role: str
    content: str
    refusal: None
    reasoning: str
    tool_calls: list[ToolCallDelta]


class ChunkChoice(TypedDict):
    index: int
    delta: ChunkDelta
    finish_reason: FinishReason | None
    logprobs: Logprobs | None
    stop_reason: NotRequired[int | str]
    token_ids: NotRequired[list[int]]


class Told(msgspec.Struct, frozen=True):
    """What of an answer a client has asked to be told.

    `role` is whose the answer is. A `forced` one calls tools, because it has to: beside that, its content is empty
    rather than null.
    """

    role: str = "assistant"
    token_ids: bool = False
    logprobs: bool = False
    forced: bool = False
    prompt_text: bool = False


def whole_choice(choice: Choice, end: Finished, told: Told) -> CompletionChoice:
    """The choice as vLLM's server tells it where it does not stream."""
    stopped = choice.stopped or Stopped(0, choice.index, end.finish_reason, end.stop_reason)
    body: CompletionChoice = {
        "index": choice.index,
        "message": _message(choice.as_whole(), told),
        "finish_reason": choice.whole.finish_reason if choice.whole else stopped.finish_reason,
        "logprobs": _logprobs(choice.logprobs) if told.logprobs and choice.logprobs else None,
    }
    if stopped.stop_reason is not None:
        body["stop_reason"] = stopped.stop_reason
    if told.token_ids and choice.token_ids:  # there are none where thoughts are withheld
        body["token_ids"] = choice.token_ids
    return body


def _message(choice: Choice, told: Told) -> AssistantMessage:
    may_be_null = choice.whole or choice.tool_calls or choice.reasoning
    content = choice.content if may_be_null and not told.forced else choice.content or ""
    if choice.prompt is not None and choice.prompt.text:
        content = choice.prompt.text + (content or "")
    body: AssistantMessage = {"role": told.role, "content": content, "refusal": None}
    if choice.reasoning is not None:
        body["reasoning"] = choice.reasoning
    if choice.tool_calls:
        body["tool_calls"] = tool_calls_body(choice)
    return body


def delta(turn: Turn, text: str) -> ChunkDelta:
    """Text of this kind, as a part of a message."""
    match turn.kind:
        case "content":
            return {"content": text}
        case "reasoning":
            return {"reasoning": text}
        case "tool":
            named: ToolCallDelta = {"index": turn.call, "id": turn.id, "type": "function", "function": {"name": text}}
            return {"tool_calls": [named]}
        case "arguments":
            return {"tool_calls": [{"index": turn.call, "function": {"arguments": text}}]}


def chunk_choice(
    index: int, said: ChunkDelta, tokens: Sequence[Tokens], told: Told, stopped: Stopped | None = None
) -> ChunkChoice:
    """A part of this choice that came with these tokens; `stopped` when it is the last one."""
    logprobs = [each.entries for each in tokens if each.entries]
    body: ChunkChoice = {
        "index": index,
        "delta": said,
        "finish_reason": stopped.finish_reason if stopped else None,
        "logprobs": _logprobs(logprobs) if told.logprobs and logprobs else None,
    }
    if stopped is not None and stopped.stop_reason is not None:
        body["stop_reason"] = stopped.stop_reason
    if told.token_ids:
        body["token_ids"] = [token_id for each in tokens for token_id in each.ids]
    return body


def of_prompt(prompt: Prompt | None, told: Told) -> dict[str, Any]:
    """What a completion tells of its prompt; a stream tells of its tokens alone."""
    if prompt is None:
        return {}
    body: dict[str, Any] = {"prompt_token_ids": list(prompt.ids)} if told.token_ids else {}
    return body | ({"prompt_text": prompt.rendered} if told.prompt_text else {})


def logprobs_of(prompt: Prompt | None) -> dict[str, Any]:
    return {"prompt_logprobs": _decode(prompt.logprobs)} if prompt is not None and prompt.logprobs else {}


def _logprobs(entries: Sequence[str]) -> Logprobs:
    return {"content": _decode(f"[{','.join(entries)}]")}
