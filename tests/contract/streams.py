"""A reader of streams that takes nothing but what the contract says a stream may hold."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
from msgspec import Struct

_TEXT = re.compile(r"id: (?:([1-9]\d*)-)?(\d+)\ndata: (\{.*\})")
# A reader that hears nothing but pings for this many gives up, so that a lost stream fails its test and hangs none.
_MOST_PINGS = 4
_END = re.compile(r"id: end\ndata: (\{.*\}|\[DONE\])")


class Event(Struct, frozen=True):
    """A piece of text and the position after it, in the text of its epoch; a ping (neither); or an end."""

    text: str = ""
    id: int | None = None
    epoch: int = 1
    error: dict[str, Any] | None = None
    done: bool = False

    @property
    def ends(self) -> bool:
        return self.done or self.error is not None


class Told(Struct, frozen=True):
    """A whole stream."""

    events: tuple[Event, ...]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events)

    @property
    def error(self) -> dict[str, Any] | None:
        return self.events[-1].error


def events(response: httpx.Response) -> Iterator[Event]:
    """The events as they arrive. Fails for bytes that are no event, and for a body that ends within one."""
    assert response.headers["Content-Type"].split(";")[0] == "text/event-stream"
    rest, pings = b"", 0
    for chunk in response.iter_bytes():
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for event in map(_event, blocks):
            pings = pings + 1 if event == Event() else 0
            assert pings < _MOST_PINGS, "the stream has fallen silent"
            yield event
    assert rest == b"", rest


def read(response: httpx.Response, start: int = 0) -> Told:
    """The whole stream, each id checked against the text before it, and its one end."""
    assert response.status_code == 200, response.text
    told: list[Event] = []
    position, epochs = start, set()
    for event in events(response):
        assert not (told and told[-1].ends), f"after the end: {event}"
        if event.id is not None:
            position += len(event.text)
            assert event.id == position
            epochs.add(event.epoch)
            assert len(epochs) == 1, "two texts in one stream"
        told.append(event)
    assert told, "an empty stream"
    assert told[-1].ends, f"a clean end of the body without an end of the stream: {told[-1]}"
    return Told(tuple(told))


def _event(block: bytes) -> Event:
    lines = block.decode()  # every event is whole characters
    if lines.startswith(":"):
        assert lines == ": ping"
        return Event()
    if match := _TEXT.fullmatch(lines):
        body = json.loads(match[3])
        assert match[1] != "1", "positions in the first text are plain numbers"
        assert list(body) == ["text"], lines
        assert body["text"], lines
        return Event(body["text"], int(match[2]), int(match[1] or 1))
    match = _END.fullmatch(lines)
    assert match, f"no event of the contract: {lines!r}"
    if match[1] == "[DONE]":
        return Event(done=True)
    body = json.loads(match[1])
    assert set(body) == {"error", "message"}, lines
    return Event(error=body)
