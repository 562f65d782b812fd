"""Many long streams at once, read as cheaply as can be, in a process of its own.

One thread waits for all sockets together and notes of each what it read and when, nothing else. HTTP and events are
taken apart once the last stream has ended. That costs a third of what an HTTP client library takes, which matters where
the client shares the cores with what it measures.
"""

import gc
import json
import multiprocessing
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import httptools

from tests.benchmarks import processes
from tests.benchmarks.dialects import Dialect

_READ_BYTES = 65_536
_EVENT_END = b"\n\n"
_DATA = b"data: "


@dataclass(frozen=True)
class Load:
    """One stream for each prompt, all at once.

    What is measured begins `settle_s` after the last stream's first text and takes `window_s`. Every stream is then
    read to its end, for up to `patience_s` of silence.
    """

    prompts: Sequence[str]
    output_tokens: int
    settle_s: float
    window_s: float
    patience_s: float = 30.0


@dataclass(frozen=True)
class Stream:
    """An answer as it came: the moments at which text arrived, and how many code points had come with each."""

    prompt: str
    text: str
    events: int
    arrivals_s: Sequence[float]
    code_points: Sequence[int]


@dataclass(frozen=True)
class Recording:
    """All streams, the measured window in the streams' time, and the processor seconds used in it by process id.

    The client's own are at its id, `client_pid`; `machine_cpu_s` is what was used by everything on the machine.
    """

    streams: Sequence[Stream]
    began_s: float
    ended_s: float
    cpu_s: Mapping[int, float]
    machine_cpu_s: float
    client_pid: int


@dataclass
class _Line:
    """A socket, and what came from it when."""

    socket: socket.socket
    prompt: str
    reads: list[tuple[float, bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class _Usage:
    """Processor seconds used until a moment."""

    at_s: float
    cpu_s: Mapping[int, float]
    machine_cpu_s: float


def run(dialect: Dialect, load: Load, pids: Sequence[int]) -> Recording:
    """Run the load in a new process, watching the processes `pids`.

    Raises ChildProcessError, once the process has said why, when a request fails or a stream breaks off.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, dialect, load, pids), daemon=True)
    process.start()
    sender.close()
    try:
        recording: Recording = receiver.recv()
    except EOFError:
        raise ChildProcessError("the client's process failed") from None
    finally:
        process.kill()
        process.join()
    return recording


def _work(sender: Connection, dialect: Dialect, load: Load, pids: Sequence[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    gc.disable()  # what is noted has no cycles, and is all needed until the end
    lines = [_open(dialect, prompt, load.output_tokens) for prompt in load.prompts]
    began, ended = _read(lines, load, pids)
    streams = [_parse(dialect, line) for line in lines]
    cpu_s = {pid: used_s - began.cpu_s[pid] for pid, used_s in ended.cpu_s.items()}
    machine_cpu_s = ended.machine_cpu_s - began.machine_cpu_s
    sender.send(Recording(streams, began.at_s, ended.at_s, cpu_s, machine_cpu_s, multiprocessing.current_process().pid))


def _open(dialect: Dialect, prompt: str, output_tokens: int) -> _Line:
    """A connection of its own, with the request sent."""
    parts = urlsplit(dialect.url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    body = json.dumps(dialect.body(prompt, output_tokens)).encode()
    head = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **dialect.headers,
    }
    fields = "".join([f"{name}: {value}\r\n" for name, value in head.items()])
    connection.sendall(f"POST {parts.path} HTTP/1.1\r\n{fields}\r\n".encode() + body)
    return _Line(connection, prompt)


def _read(lines: Sequence[_Line], load: Load, pids: Sequence[int]) -> tuple[_Usage, _Usage]:
    """Note all that comes, until every server has closed. Returns what was used at both ends of the window."""
    usages: list[_Usage] = []
    due_s = float("inf")
    silent = {line.socket.fileno() for line in lines}
    receive = {line.socket.fileno(): line.socket.recv for line in lines}
    note = {line.socket.fileno(): line.reads.append for line in lines}
    with select.epoll(len(lines)) as poller:
        for fd in receive:
            poller.register(fd, select.EPOLLIN)
        while receive:
            ready = poller.poll(load.patience_s, len(lines))
            if not ready:
                raise TimeoutError(f"{len(receive)} streams were silent for {load.patience_s:g} s")
            for fd, _ in ready:
                data = receive[fd](_READ_BYTES)
                now_s = time.perf_counter()
                note[fd]((now_s, data))
                if fd in silent and _DATA in data:
                    silent.remove(fd)
                    due_s = due_s if silent else now_s + load.settle_s
                if not data:
                    poller.unregister(fd)
                    del receive[fd]
            if now_s >= due_s:
                usages.append(_usage(pids))
                due_s = now_s + load.window_s if len(usages) == 1 else float("inf")
    for line in lines:
        line.socket.close()
    if len(usages) < 2:
        raise ValueError("the streams ended before the window did")
    return usages[0], usages[1]


def _usage(pids: Sequence[int]) -> _Usage:
    used_s = {pid: processes.cpu_s([pid]) for pid in pids}
    own = multiprocessing.current_process().pid
    return _Usage(time.perf_counter(), used_s | {own: time.process_time()}, processes.machine_cpu_s())


def _parse(dialect: Dialect, line: _Line) -> Stream:
    """Raises ValueError when the stream does not end cleanly."""
    texts: list[str] = []
    arrivals_s: list[float] = []
    code_points: list[int] = []
    events, total, done, rest = 0, 0, False, b""
    for arrived_s, data in _bodies(line):
        *whole, rest = (rest + data).split(_EVENT_END)
        before = total
        for event in [dialect.event(data) for raw in whole if (data := _data(raw))]:
            done = done or event.done
            events += bool(event.text)
            texts.append(event.text)
            total += len(event.text)
        if total > before:
            arrivals_s.append(arrived_s)
            code_points.append(total)
    if not done:
        raise ValueError(f"the stream of {line.prompt!r} broke off after {events} events")
    return Stream(line.prompt, "".join(texts), events, arrivals_s, code_points)


def _bodies(line: _Line) -> Iterator[tuple[float, bytes]]:
    """The response's body as it came, freed of HTTP. Raises ValueError for a status that is not 200."""
    body = _Body()
    parser = httptools.HttpResponseParser(body)
    for arrived_s, data in line.reads:
        if not data:
            return
        parser.feed_data(data)
        if (status := parser.get_status_code()) not in (0, 200):
            raise ValueError(f"the server answered {status}: {b''.join(body.parts)!r}")
        if body.parts:
            yield arrived_s, b"".join(body.parts)
            body.parts.clear()


class _Body:
    """Gathers what httptools finds."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def on_body(self, data: bytes) -> None:
        self.parts.append(data)


def _data(event: bytes) -> bytes:
    """The `data` of a server-sent event; empty for a comment."""
    for line in event.split(b"\n"):
        if line.startswith(_DATA):
            return line.removeprefix(_DATA)
    return b""
