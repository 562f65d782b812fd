"""A closed loop of streaming clients, in a process of its own.

Each client sends its next request when it has read the answer to the last. While the clients run, what they receive is
only noted with its time of arrival; it is parsed afterwards, so that the client takes as little of the machine as can
be, and the same for every API.
"""

import asyncio
import itertools
import math
import multiprocessing
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import aiohttp
import uvloop

from tests.benchmarks import processes
from tests.benchmarks.dialects import Dialect

_SILENCE_S = 120.0
_EVENT_END = b"\n\n"

Groups = Mapping[str, Sequence[int]]
"""Process ids by a name."""


@dataclass(frozen=True)
class Plan:
    """How many clients ask how often: `requests` each, or until `seconds` are over, whichever comes first.

    The prompts are a function of `name`, the client and the request: the same plan asks the same things.
    """

    clients: int
    output_tokens: int
    seconds: float = math.inf
    requests: int = 1_000_000
    name: str = ""


@dataclass(frozen=True)
class Answer:
    """One answer as its client saw it. An arrival is a read from the socket that brought text.

    `completion_tokens` is None where the stream does not tell.
    """

    id: str
    prompt: str
    text: str
    events: int
    completion_tokens: int | None
    first_text_s: float
    gaps_s: tuple[float, ...]


@dataclass(frozen=True)
class Window:
    """What all clients saw, from the first request to the end of the last answer.

    `cpu_s` is the processor time used meanwhile: by each group of processes that was watched, by the `client`, and by
    everything `else` on the machine.
    """

    answers: Sequence[Answer]
    wall_s: float
    cpu_s: Mapping[str, float]


@dataclass(frozen=True)
class _Received:
    """What a client read, and when."""

    id: str
    prompt: str
    began_s: float
    reads: Sequence[tuple[float, bytes]]


def prompt(plan: Plan, client: int, request: int) -> str:
    return f"{plan.name} {client}.{request}: What is the capital of Norway, and what is it known for?"


def run(dialect: Dialect, plan: Plan, watched: Groups | None = None) -> Window:
    """Run the plan in a new process. Raises ChildProcessError, once the process has said why, when a request fails."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, dialect, plan, watched or {}), daemon=True)
    process.start()
    sender.close()
    try:
        window: Window = receiver.recv()
    except EOFError:
        raise ChildProcessError("the client's process failed") from None
    finally:
        process.kill()
        process.join()
    return window


def _work(sender: Connection, dialect: Dialect, plan: Plan, watched: Groups) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sender.send(runner.run(_drive(dialect, plan, watched)))


async def _drive(dialect: Dialect, plan: Plan, watched: Groups) -> Window:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=dialect.headers) as session:
        before, began_s = _cpu_s(watched), time.perf_counter()
        clients = [_client(session, dialect, plan, number, began_s) for number in range(plan.clients)]
        received = await asyncio.gather(*clients)
        wall_s, after = time.perf_counter() - began_s, _cpu_s(watched)
    answers = [_parse(dialect, one) for each in received for one in each]
    return Window(answers, wall_s, {name: after[name] - before[name] for name in after})


def _cpu_s(watched: Groups) -> dict[str, float]:
    """Processor seconds used so far, by group."""
    used = {name: processes.cpu_s(pids) for name, pids in watched.items()} | {"client": time.process_time()}
    return used | {"else": processes.machine_cpu_s() - sum(used.values())}


async def _client(
    session: aiohttp.ClientSession, dialect: Dialect, plan: Plan, number: int, began_s: float
) -> list[_Received]:
    received: list[_Received] = []
    while len(received) < plan.requests and time.perf_counter() - began_s < plan.seconds:
        received.append(await _ask(session, dialect, prompt(plan, number, len(received)), plan.output_tokens))
    return received


async def _ask(session: aiohttp.ClientSession, dialect: Dialect, prompt: str, output_tokens: int) -> _Received:
    began_s = time.perf_counter()
    async with session.post(dialect.url, json=dialect.body(prompt, output_tokens)) as response:
        if response.status != 200:
            raise RuntimeError(f"{dialect.url} answered {response.status}: {await response.text()}")
        reads = [(time.perf_counter(), data) async for data in response.content.iter_any()]
    return _Received(response.headers.get("X-Job-Id", ""), prompt, began_s, reads)


def _parse(dialect: Dialect, received: _Received) -> Answer:
    """Raises ValueError when the stream does not end cleanly."""
    texts: list[str] = []
    arrivals_s: list[float] = []
    tokens: int | None = None
    done, rest = False, b""
    for arrived_s, data in received.reads:
        *whole, rest = (rest + data).split(_EVENT_END)
        before = len(texts)
        for event in [dialect.event(data) for raw in whole if (data := _data(raw))]:
            tokens = event.completion_tokens or tokens
            done = done or event.done
            if event.text:
                texts.append(event.text)
        if len(texts) > before:
            arrivals_s.append(arrived_s)
    if not done or not arrivals_s:
        raise ValueError(f"{received.id or dialect.url}: the stream broke off after {len(texts)} events")
    gaps_s = tuple(later - earlier for earlier, later in itertools.pairwise(arrivals_s))
    first_text_s = arrivals_s[0] - received.began_s
    return Answer(received.id, received.prompt, "".join(texts), len(texts), tokens, first_text_s, gaps_s)


def _data(event: bytes) -> bytes:
    """The `data` of a server-sent event; empty for a comment."""
    for line in event.split(b"\n"):
        if line.startswith(b"data: "):
            return line.removeprefix(b"data: ")
    return b""
