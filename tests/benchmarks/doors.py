"""What others notice of connections that ask for nothing: python -m tests.benchmarks.doors

A system of its own, and crowds on this machine: connections that have sent half a request's headers, and connections
that have been answered once and say nothing more. One that is closed comes again. Meanwhile clients come at moments
drawn in advance (Poisson), each with a connection of its own: their times count from those moments.
"""

import argparse
import asyncio
import multiprocessing
import random
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.servers import raise_open_file_limit
from tests.support.serving import Serving

HALF = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
SYSTEM = {
    "limits": {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000},
    "models": [{"id": "sim", "backend": "simulated", "engine": {"first_token_s": 0, "output_tokens": 1}}],
}
JOB = b'{"model": "sim", "messages": [{"role": "user", "content": "Well?"}], "max_tokens": 1}'

_IN_ONE_PROCESS = 5_000
# From one address to one port there are no more connections than ports.
_ADDRESSES = [f"127.0.0.{number}" for number in range(2, 52)]
_PATIENCE_S = 5.0
_QUIET_S = 1.0


@dataclass(frozen=True)
class Options:
    half: int
    idle: int
    rate: float
    seconds: float


@dataclass(frozen=True)
class Measured:
    """What the others saw beside a crowd, of which so many connections were open at the end."""

    crowd: str
    held: int
    times_s: Sequence[float]
    failed: int


class Crowd:
    """Connections that ask for nothing, in this process."""

    def __init__(self, port: int, begun: bytes) -> None:
        self._port = port
        self._begun = begun
        self._selector = selectors.DefaultSelector()
        self.open = 0

    def come(self, count: int) -> None:
        """Open so many, as far as the door lets them."""
        for number in range(count):
            with_time = socket.socket()
            with_time.settimeout(_PATIENCE_S)
            try:
                with_time.bind((_ADDRESSES[number % len(_ADDRESSES)], 0))
                with_time.connect(("127.0.0.1", self._port))
                with_time.sendall(self._begun)
            except OSError:
                with_time.close()
                return
            with_time.setblocking(False)
            self._selector.register(with_time, selectors.EVENT_READ)
            self.open += 1

    def settle(self) -> None:
        """Return when nothing has come for a moment: those that ask have been answered."""
        while self.look(_QUIET_S):
            pass

    def look(self, for_s: float) -> bool:
        """Let go of those that the door has closed. Returns whether anything came."""
        gone, heard = 0, self._selector.select(for_s)
        for key, _ in heard:
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if not _hears(connection):
                self._selector.unregister(connection)
                connection.close()
                gone += 1
        self.open -= gone
        return bool(heard)


def _hears(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(65_536))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _stay(port: int, begun: bytes, count: int, parent: Connection) -> None:
    """A process of a crowd, until the parent says something. Then it tells how many it held."""
    raise_open_file_limit()
    crowd = Crowd(port, begun)
    crowd.come(count)
    crowd.settle()
    parent.send(crowd.open)
    while not parent.poll():
        crowd.look(0.1)
        crowd.come(min(count - crowd.open, 500))
    parent.send(crowd.open)


@contextmanager
def crowd(port: int, begun: bytes, count: int) -> Iterator[list[Connection]]:
    """So many connections, in as many processes as that takes. Gives a line to each of them."""
    context = multiprocessing.get_context("spawn")
    processes, lines = [], []
    for first in range(0, count, _IN_ONE_PROCESS):
        ours, theirs = context.Pipe()
        share = min(_IN_ONE_PROCESS, count - first)
        process = context.Process(target=_stay, args=(port, begun, share, theirs), daemon=True)
        process.start()
        processes.append(process)
        lines.append(ours)
    try:
        yield lines
    finally:
        for process in processes:
            process.kill()
            process.join()


def beside(name: str, system: Serving, begun: bytes, count: int, options: Options) -> Measured:
    """What others see while so many connections have begun like this."""
    with crowd(system.port, begun, count) as lines:
        for line in lines:
            line.recv()
        times_s, failed = asyncio.run(_ask(system, options))
        for line in lines:
            line.send(None)
        held = sum(line.recv() for line in lines)
    return Measured(name, held, times_s, failed)


async def _ask(system: Serving, options: Options) -> tuple[list[float], int]:
    """How long each took, and how many had no answer."""
    chance, due_s, asking = random.Random(1), time.perf_counter(), []
    end_s, request = due_s + options.seconds, _submission(system.connection.key)
    while (due_s := due_s + chance.expovariate(options.rate)) < end_s:
        await asyncio.sleep(due_s - time.perf_counter())
        asking.append(asyncio.create_task(_submit(system.port, request, due_s)))
    answers = await asyncio.gather(*asking)
    return [time_s for time_s in answers if time_s is not None], answers.count(None)


def _submission(key: str) -> bytes:
    head = ["POST /api/v1/jobs HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", f"Content-Length: {len(JOB)}"]
    return "\r\n".join([*head, "Content-Type: application/json", "Connection: close", "", ""]).encode() + JOB


async def _submit(port: int, request: bytes, due_s: float) -> float | None:
    """When all of the answer was there: this client takes no time of its own, as those for general use do."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return None
    return time.perf_counter() - due_s if answer.startswith(b"HTTP/1.1 200 ") else None


def main() -> None:
    options = _options()
    raise_open_file_limit()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        system = Serving(Path(folder) / "system", SYSTEM)
        try:
            system.wait_until_ready("sim")
            asyncio.run(_ask(system, Options(0, 0, options.rate, 3.0)))
            measured = [
                beside("nobody", system, b"", 0, options),
                beside("half-open", system, HALF, options.half, options),
                beside("idle", system, WHOLE, options.idle, options),
            ]
        finally:
            system.end()
    print(_summary(measured))


def _summary(measured: Sequence[Measured]) -> str:
    rows = [
        [
            each.crowd,
            f"{each.held:,}",
            f"{len(each.times_s):,}",
            f"{each.failed:,}",
            *(report.milliseconds(report.quantile(each.times_s, share)) for share in (0.5, 0.99, 1.0)),
        ]
        for each in measured
    ]
    return report.table(["beside", "held open", "answered", "failed", "p50 ms", "p99", "max"], rows)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.doors", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--half", type=int, default=4_000, help="connections that have sent half of a request's headers (4000)")
    add("--idle", type=int, default=20_000, help="connections that were answered once (20000)")
    add("--rate", type=float, default=20.0, help="submissions per second, each with a connection of its own (20)")
    add("--seconds", type=float, default=30.0, help="beside each crowd (30)")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
