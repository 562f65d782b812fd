"""A request of our own, which both servers are sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MODEL = "capitals"

QUESTION: Sequence[Mapping[str, Any]] = ({"role": "user", "content": "What is the capital of France?"},)
PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
LONG: Sequence[Mapping[str, Any]] = ({"role": "user", "content": "capital " * 1600},)
"""It takes most of the context."""
_ANSWER_TOKENS = 24


class Mode(StrEnum):
    PLAIN = "plain"
    STREAM = "stream"


BOTH = (Mode.PLAIN, Mode.STREAM)
PLAIN = (Mode.PLAIN,)
STREAM = (Mode.STREAM,)


class Absent:
    """Stands for a field that is not in the body."""


ABSENT = Absent()


@dataclass(frozen=True)
class Case:
    """One request, and whether it is asked for whole, as a stream, or first one and then the other."""

    topic: str
    name: str
    path: str
    body: Mapping[str, Any] | bytes | None
    modes: Sequence[Mode]

    @property
    def id(self) -> str:
        return f"{self.topic}/{self.name}"

    def body_in(self, mode: Mode) -> Mapping[str, Any] | bytes | None:
        """What is sent in this mode."""
        if mode is Mode.PLAIN or not isinstance(self.body, Mapping):
            return self.body
        return {"stream": True, **self.body}


class Topic:
    """The cases of one topic, in the order in which they are asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cases: list[Case] = []

    def chat(self, name: str, *, modes: Sequence[Mode] = BOTH, **fields: Any) -> None:
        """A greedy chat completion of a few tokens, with these fields beside or in place of the usual ones."""
        usual = {"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": _ANSWER_TOKENS}
        self.post(name, "/v1/chat/completions", body(usual, fields), modes)

    def completion(self, name: str, *, modes: Sequence[Mode] = BOTH, **fields: Any) -> None:
        """The same of a plain completion."""
        usual = {"model": MODEL, "prompt": PROMPT, "temperature": 0, "max_tokens": _ANSWER_TOKENS}
        self.post(name, "/v1/completions", body(usual, fields), modes)

    def post(self, name: str, path: str, body: Mapping[str, Any] | bytes | None, modes: Sequence[Mode] = PLAIN) -> None:
        self.cases.append(Case(self.name, name, path, body, modes))

    def get(self, name: str, path: str) -> None:
        self.post(name, path, None)


def body(usual: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The usual fields with these beside or in place of them, but for those that are to be absent."""
    return {name: value for name, value in {**usual, **fields}.items() if value is not ABSENT}
