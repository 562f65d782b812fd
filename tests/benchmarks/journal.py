"""What the Journal's process can carry, without Ray's part of it: python -m tests.benchmarks.journal

One engine tells of many jobs, two tokens of each in every step. Each job is watched by one of so many ingress replicas,
and every one of them is sent one frame after each step. Counted is what the Journal uses of the processor for a delta
that comes in and goes out. Then what a log holds per token.
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
    """An engine that tells its frames in steps. It waits after each until it may go on."""

    def __init__(self, steps: list[list[bytes]]) -> None:
        self._steps = steps
        self.told = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def describe(self) -> EngineReport:
        return EngineReport(EngineId("m/0"), "m", NodeId("n"), "ready")

    async def acknowledge(self, reader: str, frames: int) -> bool:
        return True

    async def frames(self, reader: str) -> AsyncGenerator[bytes, None]:
        for frames in self._steps:
            for frame in frames:
                yield frame
            self.told.set()
            await self.may_go_on.wait()
            self.may_go_on.clear()
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
    """How many deltas went in and out, and what the process used for that."""
    jobs = [JobId(f"job_{number:020x}") for number in range(options.jobs)]
    talker = Talker(await _told(jobs, options.steps))
    anyone: Any = Anyone()
    engine: Any = talker
    journal = Journal(anyone, anyone, lambda _: engine, list, 0.0)
    await journal.start()
    names = [f"reader_{number}" for number in range(readers)]
    for number, name in enumerate(names):
        await journal.watch(name, [(job_id, 0, 0) for job_id in jobs[number::readers]])
    streams = [journal.frames(name) for name in names]
    began_s = time.process_time()
    await journal.attach([EngineId("m/0")])
    for step in range(options.steps):
        await talker.told.wait()
        talker.told.clear()
        for name, stream in zip(names, streams, strict=True):
            await anext(stream)
            await journal.acknowledge(name, step + 1)
        talker.may_go_on.set()
    used_s = time.process_time() - began_s
    await journal.stop()
    return options.jobs * options.steps, used_s


async def _told(jobs: list[JobId], steps: int) -> list[list[bytes]]:
    """What engines' outboxes make of these jobs, in so many steps. Each frame tells of some of them."""
    told: list[list[bytes]] = [[] for _ in range(steps)]
    for first in range(0, len(jobs), _JOBS_PER_FRAME):
        sources = [JobLog(job_id, attempt=1) for job_id in jobs[first : first + _JOBS_PER_FRAME]]
        outbox = Outbox(0.0, with_tokens=True)
        for source in sources:
            outbox.watch(source)
        stream = outbox.frames()
        for frames in told:
            for source in sources:
                for text, token_id in _tokens(_TOKENS_PER_DELTA):
                    source.log.append(text, (token_id,))
                source.touch()
            frames.append(await anext(stream))
            outbox.acknowledge(steps)
        await stream.aclose()
    return told


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
