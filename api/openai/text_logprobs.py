"""The logprobs of a completion, in the columns that OpenAI's API has for them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from typing_extensions import TypedDict

from cluster.messages.marks import Prompt

_decode = msgspec.json.decode


class TextLogprobs(TypedDict):
    """A row for each token: where its text begins, its logprob, its text, and the logprobs of the likeliest by text."""

    text_offset: list[int]
    token_logprobs: list[float | None]
    tokens: list[str]
    top_logprobs: list[dict[str, float] | None]


class Row(msgspec.Struct, frozen=True):
    """A token, its logprob and those of the likeliest in its place; the first one of a prompt has none."""

    token: str
    logprob: float | None = None
    top: dict[str, float] | None = None


def rows_of_answer(entries: Sequence[str]) -> list[Row]:
    """Those of tokens that were generated, of entries as marks have them: JSON without the brackets around it."""
    told: list[Any] = _decode(f"[{','.join(entries)}]")
    return [Row(each["token"], each["logprob"], _by_name(each["top_logprobs"])) for each in told]


def rows_of_prompt(prompt: Prompt, most: int | None, by_id: bool) -> list[Row]:
    """Those of a prompt's tokens. `most` of the likeliest are told, None for all; `by_id` is how tokens are called."""
    told: list[Any] = _decode(prompt.logprobs) if prompt.logprobs else []
    return [_of_prompt(*each, prompt.first, most, by_id) for each in zip(prompt.ids, told, strict=False)]


def columns(rows: Iterable[Row], offset: int) -> TextLogprobs:
    """The rows as columns. The first one's text begins at code point `offset`."""
    body: TextLogprobs = {"text_offset": [], "token_logprobs": [], "tokens": [], "top_logprobs": []}
    for row in rows:
        body["text_offset"].append(offset)
        body["token_logprobs"].append(row.logprob)
        body["tokens"].append(row.token)
        body["top_logprobs"].append(row.top)
        offset += len(row.token)
    return body


def _of_prompt(
    token_id: int, told: Mapping[str, Mapping[str, Any]] | None, first: str, most: int | None, by_id: bool
) -> Row:
    if told is None:
        return Row(_named(str(token_id), first, by_id))
    likeliest = [
        {"token": _named(each, one["decoded_token"], by_id), "logprob": one["logprob"]} for each, one in told.items()
    ]
    own = told[str(token_id)]
    return Row(_named(str(token_id), own["decoded_token"], by_id), own["logprob"], _by_name(likeliest[:most]))


def _named(token_id: str, name: str | None, by_id: bool) -> str:
    return f"token_id:{token_id}" if by_id else name or ""


def _by_name(likeliest: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    return {each["token"]: each["logprob"] for each in likeliest}
