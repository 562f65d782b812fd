"""One request and its streamed answer, as the client sees it."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from tests.benchmarks.dialects import Dialect, Event, Usage

_EVENT_END = b"\n\n"


class RequestFailed(Exception):
    """A request was refused, or its stream did not end as it should."""


@dataclass(frozen=True)
class Answer:
    """One answer as its client saw it. An arrival is a read from the socket that brought text.

    `usage` is None where the stream does not tell. `first_text_s` counts from the moment the request was due.
    """

    id: str
    prompt: str
    text: str
    events: int
    usage: Usage | None
    first_text_s: float
    gaps_s: tuple[float, ...]


@dataclass(frozen=True)
class Received:
    """What a client read, and when."""

    id: str
    prompt: str
    due_s: float
    reads: Sequence[tuple[float, bytes]]


async def ask(
    session: aiohttp.ClientSession, dialect: Dialect, prompt: str, output_tokens: int, due_s: float
) -> Received:
    """Post a prompt and read its answer to the end. Raises RequestFailed when it is refused."""
    async with session.post(dialect.url, json=dialect.body(prompt, output_tokens)) as response:
        if response.status != 200:
            raise RequestFailed(f"{dialect.url} answered {response.status}: {await response.text()}")
        reads = [(time.perf_counter(), data) async for data in response.content.iter_any()]
    return Received(response.headers.get("X-Job-Id", ""), prompt, due_s, reads)


def parse(dialect: Dialect, received: Received) -> Answer:
    """Raises RequestFailed when the stream does not end cleanly."""
    texts: list[str] = []
    arrivals_s: list[float] = []
    usage: Usage | None = None
    done, rest = False, b""
    for arrived_s, data in received.reads:
        *whole, rest = (rest + data).split(_EVENT_END)
        before = len(texts)
        for event in [_event(dialect, data) for raw in whole if (data := _data(raw))]:
            usage = event.usage or usage
            done = done or event.done
            if event.text:
                texts.append(event.text)
        if len(texts) > before:
            arrivals_s.append(arrived_s)
    if not done or not arrivals_s:
        raise RequestFailed(f"{received.id or dialect.url}: the stream broke off after {len(texts)} events")
    gaps_s = tuple([later - earlier for earlier, later in itertools.pairwise(arrivals_s)])
    first_text_s = arrivals_s[0] - received.due_s
    return Answer(received.id, received.prompt, "".join(texts), len(texts), usage, first_text_s, gaps_s)


def _event(dialect: Dialect, data: bytes) -> Event:
    try:
        return dialect.event(data)
    except ValueError as error:
        raise RequestFailed(str(error)) from None


def _data(event: bytes) -> bytes:
    """The `data` of a server-sent event; empty for a comment."""
    for line in event.split(b"\n"):
        if line.startswith(b"data: "):
            return line.removeprefix(b"data: ")
    return b""
