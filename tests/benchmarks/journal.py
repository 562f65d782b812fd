"""What the Journal's process can carry, without Ray's part of it: python -m tests.benchmarks.journal

One engine tells of many jobs, some tokens of each in every frame, as fast as the Journal takes them in. Each job is
watched by one of so many ingress replicas, which are sent what is new at the interval of production. Counted is what
the Journal used of the processor, frames in and out. Then what a log holds per token.
"""

import argparse
import asyncio
import logging
import random
import time
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

from actors.journal import Journal
from actors.wire.frames import JobLog, Outbox
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.machines import EngineReport
from cluster.text.token_log import TokenLog
from tests.benchmarks import report

_INTERVAL_S = 0.02
_JOBS_PER_FRAME = 64
_TOKENS_PER_DELTA = 2
_TOKEN_CHARACTERS = 4
_LOG_TOKENS = 1_000


@dataclass(frozen=True)
class Options:
    readers: tuple[int, ...]
    jobs: int
    steps: int
    logs: int


class Anyone:
    """Whoever else the Journal calls: nobody answers anything."""

    def __getattr__(self, name: str) -> Any:
        async def answer(*_: object) -> list[object]:
            return []

        return answer


class Talker(Anyone):
    """An engine that has so many frames to tell, made before they are asked for."""

    def __init__(self, frames: list[bytes]) -> None:
        self._frames = frames
        self.told = asyncio.Event()
        self.used_s = 0.0

    async def describe(self) -> EngineReport:
        return EngineReport(EngineId("m/0"), "m", NodeId("n"), "ready")

    async def frames(self) -> AsyncGenerator[bytes, None]:
        began_s = time.process_time()
        for frame in self._frames:
            yield frame
            await asyncio.sleep(0)
        self.used_s = time.process_time() - began_s
        self.told.set()
        await asyncio.Event().wait()


def main() -> None:
    logging.disable()
    options = _options()
    rows = []
    for readers in options.readers:
        deltas, used_s = asyncio.run(_carry(options, readers))
        rows.append([readers, f"{used_s / deltas * 1e6:.2f}", f"{deltas / used_s:,.0f}"])
    print(report.table(["ingress replicas", "us per delta", "deltas/s of one core"], rows))
    print(f"\na log of {_LOG_TOKENS:,} tokens: {_bytes_per_token(options.logs):.0f} bytes per token")


async def _carry(options: Options, readers: int) -> tuple[int, float]:
    """How many deltas went in, and what the process used until they had gone in, with what went out meanwhile."""
    jobs = [JobId(f"job_{number:020x}") for number in range(options.jobs)]
    talker = Talker(await _told(jobs, options.steps))
    anyone: Any = Anyone()
    engine: Any = talker
    journal = Journal(anyone, anyone, lambda _: engine, list, _INTERVAL_S)
    await journal.start()
    await _watch(journal, jobs, readers)
    reading = [asyncio.create_task(_read(journal, f"reader_{number}")) for number in range(readers)]
    await journal.attach([EngineId("m/0")])
    await talker.told.wait()
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    await journal.stop()
    return options.jobs * options.steps, talker.used_s


async def _watch(journal: Journal, jobs: list[JobId], readers: int) -> None:
    for number in range(readers):
        await journal.watch(f"reader_{number}", [(job_id, 0) for job_id in jobs[number::readers]])


async def _read(journal: Journal, reader_id: str) -> None:
    received = 0
    async for _ in journal.frames(reader_id):
        received += 1
        await journal.acknowledge(reader_id, received)


async def _told(jobs: list[JobId], steps: int) -> list[bytes]:
    """What an engine's outbox makes of these jobs: so many steps of each."""
    frames: list[bytes] = []
    for first in range(0, len(jobs), _JOBS_PER_FRAME):
        sources = [JobLog(job_id, attempt=1) for job_id in jobs[first : first + _JOBS_PER_FRAME]]
        outbox = Outbox(0.0, with_tokens=True)
        for source in sources:
            outbox.watch(source)
        stream = outbox.frames()
        for _ in range(steps):
            for source in sources:
                for text, token_id in _tokens(_TOKENS_PER_DELTA):
                    source.log.append(text, (token_id,))
                source.touch()
            frames.append(await anext(stream))
            outbox.acknowledge(len(frames))
        await stream.aclose()
    # Every job is told of in turn, as by many engines.
    return [frame for step in range(steps) for frame in frames[step::steps]]


def _bytes_per_token(logs: int) -> float:
    tracemalloc.start()
    held = []
    for _ in range(logs):
        log = TokenLog()
        for text, token_id in _tokens(_LOG_TOKENS):
            log.append(text, (token_id,))
        held.append(log)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / len(held) / _LOG_TOKENS


def _tokens(count: int) -> Iterator[tuple[str, int]]:
    """Tokens of four characters. No two texts are one object, as those that a tokenizer makes are not."""
    chance = random.Random(count)
    for _ in range(count):
        number = chance.randrange(10_000, 120_000)
        yield f" {number:x}"[:_TOKEN_CHARACTERS], number


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.journal", description=__doc__)
    add = parser.add_argument
    add("--readers", type=int, nargs="+", default=(1, 10, 100), help="ingress replicas (1 10 100)")
    add("--jobs", type=int, default=2_000, help="that are told of (2000)")
    add("--steps", type=int, default=40, help="frames that tell of each job (40)")
    add("--logs", type=int, default=100, help="logs to measure the memory of (100)")
    options = parser.parse_args()
    return Options(tuple(options.readers), options.jobs, options.steps, options.logs)


if __name__ == "__main__":
    main()
