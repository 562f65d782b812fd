"""What a stream of chunks says, whatever it was cut into: chat completions and plain ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.differential import rules
from tests.differential.answer import DONE

_PIECES = ("reasoning", "content", "tool_calls")
_SEQUENCES = ("logprobs", "token_ids")
"""What a chunk carries of the answer itself. It is joined over all chunks, since it moves with where they are cut."""
_OF_THE_END = ("finish_reason", "stop_reason")
"""What the last chunk of a choice says, which may be its first."""


def joined(events: Sequence[Any]) -> dict[str, Any]:
    """The stream as one object. Two that say the same are equal, once `rules.plain` has been applied to both."""
    chunks = [event for event in events if isinstance(event, Mapping)]
    errors = [rules.error(chunk) for chunk in chunks if "error" in chunk]
    chunks = [chunk for chunk in chunks if "error" not in chunk]
    return {
        "errors": errors,
        "ids": len({chunk.get("id") for chunk in chunks}),
        "choices": _choices(chunks),
        "chunks": _heads(chunks),
        "usage chunks": [rules.plain(chunk) for chunk in chunks if not chunk.get("choices")],
        "end": events[-1] if events and events[-1] == DONE else None,
    }


def _choices(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each choice by its index, put together from all chunks."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or ():
            parts.setdefault(str(choice.get("index")), []).append(choice)
    return {index: _choice(parts[index]) for index in sorted(parts)}


def _choice(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, last = parts[0], parts[-1]
    beginning = {name: value for name, value in _beside(first).items() if name not in _OF_THE_END}
    return {
        "first": beginning,
        "pieces": _pieces(parts),
        "logprobs": _extended(part.get("logprobs") for part in parts),
        "token_ids": [token for part in parts for token in part.get("token_ids") or ()],
        "last": _beside(last),
        "ended": sum(part.get("finish_reason") is not None for part in parts),
    }


def _beside(part: Mapping[str, Any]) -> dict[str, Any]:
    """What a choice's chunk says beside its piece of the answer."""
    delta = part.get("delta") or {}
    said = {name: value for name, value in part.items() if name not in ("delta", "text", *_SEQUENCES)}
    return {**rules.plain(said), "delta": rules.plain({n: v for n, v in delta.items() if n not in _PIECES})}


def _pieces(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pieces of the answer in their order, those that go on with the one before joined to it."""
    pieces: list[dict[str, Any]] = []
    for part in parts:
        for piece in _pieces_of(part):
            if pieces and pieces[-1]["kind"] == piece["kind"] and "id" not in piece:
                pieces[-1]["text"] += piece["text"]
            elif piece["text"] or "id" in piece:
                pieces.append(piece)
    return pieces


def _pieces_of(part: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    if "text" in part:
        yield {"kind": "text", "text": part["text"]}
    delta = part.get("delta") or {}
    for kind in ("reasoning", "content"):
        if delta.get(kind) is not None:
            yield {"kind": kind, "text": delta[kind]}
    for call in delta.get("tool_calls") or ():
        yield _call(call)


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A piece of a call of a tool. What begins a call has its id; the rest are pieces of the arguments."""
    function = call.get("function") or {}
    piece = {"kind": f"tool call {call.get('index')}", "text": function.get("arguments") or ""}
    began = {"id": rules.form(call.get("id")), "type": call.get("type"), "name": function.get("name")}
    return piece | {name: value for name, value in began.items() if value is not None}


def _extended(logprobs: Iterable[Any]) -> dict[str, list[Any]]:
    """The lists that log probabilities consist of, each put together from all chunks."""
    whole: dict[str, list[Any]] = {}
    for each in logprobs:
        for name, values in (each or {}).items():
            if values is not None:
                whole.setdefault(name, []).extend(rules.plain(values))
    return whole


def _heads(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the chunks say beside their choices: the first and the last, and the names of what all say and some say.

    The usage so far moves with where a stream is cut: that it is told counts, and that it only grows.
    """
    heads = [_head(chunk) for chunk in chunks if chunk.get("choices")]
    if not heads:
        return {}
    names = [set(head) for head in heads]
    told = [head["usage"]["completion_tokens"] for head in heads if "usage" in head]
    return {
        "first": _without_counts(heads[0]),
        "last": heads[-1],
        "all say": sorted(set.intersection(*names)),
        "some say": sorted(set.union(*names)),
        "usage grows": told == sorted(told),
    }


def _without_counts(head: Mapping[str, Any]) -> dict[str, Any]:
    usage = {name: value for name, value in head.get("usage", {}).items() if name == "prompt_tokens"}
    return {**head, "usage": usage}


def _head(chunk: Mapping[str, Any]) -> dict[str, Any]:
    head: dict[str, Any] = rules.plain({name: value for name, value in chunk.items() if name != "choices"})
    return head
