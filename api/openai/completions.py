"""Chat completions, whole and in chunks, as OpenAI's clients read them."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NotRequired

from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import TypedDict

from api.http.sse import DONE, PING, event
from api.jobs.schemas import TokenUsage, usage_body
from api.openai.choices import (
    ChunkChoice,
    ChunkDelta,
    CompletionChoice,
    Told,
    chunk_choice,
    delta,
    logprobs_of,
    of_prompt,
    whole_choice,
)
from api.openai.client_watch import Answer
from api.openai.error_shape import failure_body
from api.replica.live import MOST_CHARACTERS, Piece
from cluster.ids import JobId
from cluster.messages.marks import Mark, Prompt, Stopped, Tokens
from cluster.messages.money import Usage
from cluster.messages.work import Accepted, End, Failed, Finished
from cluster.text.answers import added, choices, count_of


class ChatCompletion(TypedDict):
    """A whole answer. The header `X-Job-Id` names its job. The last three are told where they were asked for."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: TokenUsage
    prompt_token_ids: NotRequired[list[int]]
    prompt_logprobs: NotRequired[list[Any]]
    prompt_text: NotRequired[str]


class ChunksWanted(Struct, frozen=True):
    """What a client wants of a stream: of how many choices, and what besides their text."""

    choices: int = 1
    usage: bool = False
    continuous_usage: bool = False
    told: Told = Told()


class ChatCompletionChunk(TypedDict):
    """A part of an answer. `usage` is there if it was asked for, and null in all but the last chunk."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[TokenUsage | None]
    prompt_token_ids: NotRequired[list[int]]
    prompt_text: NotRequired[str]


def completion(accepted: Accepted, answer: Answer, end: Finished, told: Told) -> ChatCompletion:
    answered = choices(answer.text, answer.marks, count_of(answer.marks))
    body: ChatCompletion = {
        "id": _id(accepted.id),
        "object": "chat.completion",
        "created": accepted.created_ms // 1000,
        "model": accepted.model,
        "choices": [whole_choice(choice, end, told) for choice in answered],
        "usage": usage_body(end.usage),
    }
    prompt = answered[0].prompt
    return {**body, **of_prompt(prompt, told), **logprobs_of(prompt)}  # type: ignore[typeddict-item]


def chat_chunks(wanted: ChunksWanted, accepted: Accepted) -> Callable[[Piece], bytes]:
    """What encodes the pieces of this job as its client wants them."""
    return Chunks(accepted, wanted).encode


class Chunks:
    """Encodes the pieces of one job, in their order, for one client."""

    def __init__(self, accepted: Accepted, wanted: ChunksWanted) -> None:
        self._accepted = accepted
        self._wanted = wanted
        self._told = wanted.told
        self._begun = False
        self._prompts: dict[int, Prompt] = {}
        self._rest: list[Tokens] = []  # they came without text, and go with the end
        self._tokens = [0] * wanted.choices

    def encode(self, piece: Piece) -> bytes:
        """The events that tell of this piece."""
        if piece.is_sign_of_life:
            return PING
        for note in piece.notes:
            self._take(note)
        if piece.end is not None:
            return self._end(piece.end)
        stopped = next((note for note in piece.notes if isinstance(note, Stopped)), None)
        if not piece.text and stopped is None:
            return b""
        turn, tokens = piece.turn, tuple(self._rest)
        self._rest.clear()
        said = delta(turn, piece.text) if piece.text else ChunkDelta()
        index = turn.choice if stopped is None else stopped.choice
        events = self._beginning()
        self._tokens[index] += sum(len(each.ids) for each in tokens)
        return events + self._choice(chunk_choice(index, said, tokens, self._told, stopped))

    def _take(self, note: Mark) -> None:
        match note:
            case Tokens():
                self._rest.append(note)
            case Prompt(choice=choice):
                self._prompts[choice] = added(self._prompts.get(choice), note)

    def _beginning(self) -> bytes:
        """Who speaks, once for each choice, and what the answer echoes."""
        if self._begun:
            return b""
        self._begun = True
        prompt = self._prompts.get(0)
        first: ChunkDelta = {"role": self._told.role, "content": "", "refusal": None}
        indices = range(self._wanted.choices)
        events = [self._choice(_said(index, first), of_prompt(prompt, self._told)) for index in indices]
        if prompt is not None and prompt.text:
            echoed = [prompt.text[at : at + MOST_CHARACTERS] for at in range(0, len(prompt.text), MOST_CHARACTERS)]
            events += [self._choice(_said(index, {"content": part})) for index in indices for part in echoed]
        return b"".join(events)

    def _end(self, end: End) -> bytes:
        if isinstance(end, Failed):
            return event(failure_body(end))
        events = self._beginning()
        if self._wanted.choices == 1:
            stopped = Stopped(0, 0, end.finish_reason, end.stop_reason)
            of_all = {"usage": usage_body(replace(end.usage, cached_tokens=None))} if self._counts else {}
            events += self._choice(chunk_choice(0, {}, self._rest, self._told, stopped), of_all)
        if self._wanted.usage:
            events += event(_chunk(self._accepted, []) | {"usage": usage_body(end.usage)})
        return events + DONE

    def _choice(self, choice: ChunkChoice, more: Mapping[str, Any] = {}) -> bytes:
        body = _chunk(self._accepted, [choice])
        if self._wanted.usage:
            body = body | {"usage": self._usage_so_far(choice["index"]) if self._counts else None}
        return event({**body, **more})

    @property
    def _counts(self) -> bool:
        """Whether every chunk tells the usage so far."""
        return self._wanted.usage and self._wanted.continuous_usage

    def _usage_so_far(self, choice: int) -> TokenUsage:
        prompt = self._prompts.get(0)
        return usage_body(Usage(len(prompt.ids) if prompt else 0, self._tokens[choice]))


def _said(index: int, said: ChunkDelta) -> ChunkChoice:
    return {"index": index, "delta": said, "finish_reason": None, "logprobs": None}


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
