"""Completions, whole and in chunks, as OpenAI's clients read them and vLLM's server writes them."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NotRequired

import msgspec
from msgspec import Struct
from typing_extensions import TypedDict

from api.http.sse import DONE, PING, event
from api.jobs.schemas import TokenUsage, usage_body
from api.openai.client_watch import Answer
from api.openai.error_shape import failure_body
from api.openai.text_logprobs import Row, TextLogprobs, columns, rows_of_answer, rows_of_prompt
from api.replica.live import Piece
from cluster.messages.marks import FinishReason, Mark, Prompt, Stopped, Tokens
from cluster.messages.money import Usage
from cluster.messages.work import Accepted, End, Failed, Finished
from cluster.text.answers import Choice, added, choices


class TextChoice(TypedDict):
    """One completion of one prompt: the n of the first prompt come before those of the second."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: FinishReason | None
    stop_reason: int | str | None
    token_ids: NotRequired[list[int]]
    prompt_token_ids: NotRequired[list[int]]
    prompt_logprobs: NotRequired[list[Any]]


class TextCompletion(TypedDict):
    """A whole answer, or a part of one: then `usage` is there if it was asked for, and null but where it is told.

    The header `X-Job-Id` names its job.
    """

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: NotRequired[TokenUsage | None]


class TextWanted(Struct, frozen=True):
    """What a client wants to be told. `generates` is False where it only wants its prompts back.

    `logprobs` of so many of the likeliest tokens are told, or all there are; `by_id` is how tokens are called.
    """

    prompts: int = 1
    n: int = 1
    echo: bool = False
    generates: bool = True
    logprobs: int | None = None
    all_logprobs: bool = False
    token_ids: bool = False
    by_id: bool = False
    usage: bool = False
    continuous_usage: bool = False

    @property
    def choices(self) -> int:
        return self.prompts * self.n

    def asking(self, choice: int) -> int:
        """The choice that is told what this one answers, too: the first of the same prompt."""
        return choice - choice % self.n

    def echoed(self, prompt: Prompt) -> str:
        """What an answer to this prompt begins with. Like vLLM: tokens are told instead of text, not with it."""
        return prompt.text if self.echo and not self.token_ids else ""

    def rows(self, prompt: Prompt | None, entries: Sequence[str]) -> list[Row]:
        """What is told of the tokens of a choice: of those of its prompt, where it is given, and of its own."""
        most = None if self.all_logprobs else (self.logprobs or 0) + 1
        echoed = rows_of_prompt(prompt, most, self.by_id) if prompt is not None and self.echo else []
        return echoed + (rows_of_answer(entries) if self.generates else [])


NO_PROMPT = Prompt(0)


def text_completion(accepted: Accepted, answer: Answer, end: Finished, wanted: TextWanted) -> TextCompletion:
    answered = choices(answer.text, answer.marks, wanted.choices)
    return {
        **_body(accepted, [_whole(choice, answered[wanted.asking(choice.index)], end, wanted) for choice in answered]),
        "usage": usage_body(end.usage),
    }


def _whole(choice: Choice, first: Choice, end: Finished, wanted: TextWanted) -> TextChoice:
    """The choice; `first` is the first one of the same prompt."""
    prompt = _prompt(first.prompt, choice.prompt)
    stopped = choice.stopped or Stopped(0, choice.index, end.finish_reason, end.stop_reason)
    text = wanted.echoed(prompt) + ((choice.content or "") if wanted.generates else "")
    rows = None if wanted.logprobs is None else wanted.rows(prompt, choice.logprobs)
    body = _choice(choice.index, text, None if rows is None else columns(rows, 0), stopped)
    if wanted.token_ids:
        body["token_ids"] = choice.token_ids
        body["prompt_token_ids"] = list(prompt.ids)
    if prompt.logprobs:
        body["prompt_logprobs"] = msgspec.json.decode(prompt.logprobs)
    return body


class _Told:
    """How far one choice has been told: its tokens so far, and the text before what comes next of it."""

    def __init__(self) -> None:
        self.begun = False
        self.tokens = 0
        self.length = 0
        self.untold: list[Tokens] = []
        self.prompt: Prompt | None = None


def text_chunks(wanted: TextWanted, accepted: Accepted) -> Callable[[Piece], bytes]:
    """What encodes the pieces of this job as its client wants them."""
    return TextChunks(accepted, wanted).encode


class TextChunks:
    """Encodes the pieces of one job, in their order, for one client."""

    def __init__(self, accepted: Accepted, wanted: TextWanted) -> None:
        self._accepted = accepted
        self._wanted = wanted
        self._told = [_Told() for _ in range(wanted.choices)]

    def encode(self, piece: Piece) -> bytes:
        """The events that tell of this piece."""
        if piece.is_sign_of_life:
            return PING
        for note in piece.notes:
            self._take(note)
        if piece.end is not None:
            return self._end(piece.end)
        tells = piece.text and self._wanted.generates  # a prompt alone comes whole, with its end
        events = self._part(piece.turn.choice, piece.text) if tells else b""
        stopped = next((note for note in piece.notes if isinstance(note, Stopped)), None)
        return events + (b"" if stopped is None else self._part(stopped.choice, "", stopped))

    def _take(self, note: Mark) -> None:
        told = self._told[note.choice]
        match note:
            case Tokens():
                told.untold.append(note)
            case Prompt():
                told.prompt = added(told.prompt, note)

    def _part(self, index: int, generated: str, stopped: Stopped | None = None) -> bytes:
        """More of a choice, with its prompt where that has not been told yet."""
        told, wanted = self._told[index], self._wanted
        prompt = None if told.begun else self._prompt_of(index)
        text = (wanted.echoed(prompt) if prompt else "") + (generated if wanted.generates else "")
        tokens, told.untold, told.begun = told.untold, [], True
        told.tokens += sum(len(each.ids) for each in tokens)
        logprobs = None
        if wanted.logprobs is not None:
            entries = [each.entries for each in tokens if each.entries]
            rows = wanted.rows(prompt, entries)
            logprobs = columns(rows, told.length) if rows else None
        told.length += len(text)
        body = _choice(index, text, logprobs, stopped)
        if wanted.token_ids:
            body["token_ids"] = [token_id for each in tokens for token_id in each.ids]
        if prompt is not None and (wanted.token_ids or wanted.echo):  # of a stream vLLM tells both
            body["prompt_token_ids"] = list(prompt.ids)
        return self._event(body)

    def _prompt_of(self, index: int) -> Prompt:
        return _prompt(self._told[self._wanted.asking(index)].prompt, self._told[index].prompt)

    def _event(self, choice: TextChoice) -> bytes:
        body = _body(self._accepted, [choice])
        if self._wanted.usage:
            body["usage"] = self._usage_so_far(choice["index"]) if self._wanted.continuous_usage else None
        return event(body)

    def _usage_so_far(self, index: int) -> TokenUsage:
        return usage_body(Usage(len(self._prompt_of(index).ids), self._told[index].tokens))

    def _end(self, end: End) -> bytes:
        if isinstance(end, Failed):
            return event(failure_body(end))
        events = b""
        if self._wanted.choices == 1:
            events += self._part(0, "", Stopped(0, 0, end.finish_reason, end.stop_reason))
        if self._wanted.usage:
            events += event({**_body(self._accepted, []), "usage": usage_body(end.usage)})
        return events + DONE


def _prompt(of_first: Prompt | None, own: Prompt | None) -> Prompt:
    """What is known of a choice's prompt: what was told of it to the first choice of the same one, and to itself."""
    known = of_first or own or NO_PROMPT
    return known if own is None else added(known, own)


def _choice(index: int, text: str, logprobs: TextLogprobs | None, stopped: Stopped | None) -> TextChoice:
    return {
        "index": index,
        "text": text,
        "logprobs": logprobs,
        "finish_reason": stopped.finish_reason if stopped else None,
        "stop_reason": stopped.stop_reason if stopped else None,
    }


def _body(accepted: Accepted, told: list[TextChoice]) -> TextCompletion:
    return {
        "id": f"cmpl-{accepted.id.removeprefix('job_')}",
        "object": "text_completion",
        "created": accepted.created_ms // 1000,
        "model": accepted.model,
        "choices": told,
    }
