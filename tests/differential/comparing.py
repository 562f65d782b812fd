"""Where two answers differ."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from tests.differential import rules, streams
from tests.differential.answer import Answer

_SHOWN = 160


class Difference(Struct, frozen=True):
    """What stands at `path` in vLLM's answer and in ours. `MISSING` is what is not there."""

    path: str
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.path}: vLLM {_short(self.theirs)}, ours {_short(self.ours)}"


class Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = Missing()


def differences(theirs: Answer, ours: Answer) -> list[Difference]:
    """Every difference that counts, the first one first."""
    if theirs.told_status != ours.told_status:
        return [Difference("status", _said(theirs), _said(ours))]
    if theirs.media_type != ours.media_type and not theirs.is_refusal:
        return [Difference("content type", theirs.media_type, ours.media_type)]
    return list(_compare("", compared(theirs), compared(ours)))


def compared(answer: Answer) -> Any:
    """What is compared of an answer."""
    if answer.is_refusal:
        return rules.error({"error": answer.error} if answer.error else answer.body)
    if answer.is_stream:
        return streams.joined(answer.body)
    return rules.plain(answer.body)


def _compare(path: str, theirs: Any, ours: Any) -> Iterator[Difference]:
    match theirs, ours:
        case dict(), dict():
            yield from _objects(path, theirs, ours)
        case list(), list():
            yield from _lists(path, theirs, ours)
        case _ if not rules.same(theirs, ours):
            yield Difference(path, theirs, ours)


def _objects(path: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[Difference]:
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        if not (path == "error" and name == "param" and theirs.get(name) is None):
            yield from _compare(f"{path}.{name}" if path else name, theirs.get(name, MISSING), ours.get(name, MISSING))


def _lists(path: str, theirs: list[Any], ours: list[Any]) -> Iterator[Difference]:
    for index in range(max(len(theirs), len(ours))):
        yield from _compare(f"{path}[{index}]", _item(theirs, index), _item(ours, index))


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else MISSING


def _said(answer: Answer) -> Any:
    """The status of an answer, and what it says of an error."""
    return f"{answer.told_status} {answer.error.get('message')}" if answer.error else answer.told_status


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
