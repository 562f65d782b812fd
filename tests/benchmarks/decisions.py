"""What placing a job costs, by engines and by waiting jobs: python -m tests.benchmarks.decisions

The Scheduler's own placing and releasing, without Ray. Every engine is full, as it is when jobs wait, and whenever jobs
end, those that wait longest take their places. Without waiting jobs, each takes the place of one that has ended as it
comes. Memory is that of a process of its own, which holds jobs as they come out of a call: no two share anything.
"""

import argparse
import json
import multiprocessing
import pickle
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from actors.scheduler import Scheduler
from cluster.catalogue import Catalogue, Model, Replicas
from cluster.deadlines import Deadlines
from cluster.ids import AccountId, EngineId, KeyId, NodeId, new_job_id
from cluster.messages.machines import EngineReport, Hardware, NodeReport
from cluster.messages.work import ChatMessage, Job, Sampling
from cluster.queue import JobQueue, LaneId, Waiting
from tests.benchmarks import report

_MODEL = "model"
_LANE = LaneId(_MODEL)
_SLOTS = 4
_ENGINES_PER_NODE = 8
_BATCH = 64
_PROMPT_CHARACTERS = 200
_KEYS = 1000
_TIMEOUT_MS = 3_600_000
_BEGIN_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Options:
    engines: tuple[int, ...]
    waiting: tuple[int, ...]
    rounds: int
    decisions: int
    hold: int
    json: Path | None


@dataclass(frozen=True)
class Cell:
    """Microseconds per job, of each round, with so many engines and waiting jobs.

    To place it (take it from the queue, choose its engine, lease it), to release it, and to take it into the queue.
    """

    engines: int
    waiting: int
    place_us: list[float] = field(default_factory=list)
    release_us: list[float] = field(default_factory=list)
    accept_us: list[float] = field(default_factory=list)

    @property
    def decision_us(self) -> list[float]:
        return [place + release for place, release in zip(self.place_us, self.release_us, strict=True)]


@dataclass(frozen=True)
class QueueCell:
    """Microseconds, of each round: to cancel a job that waits, and to see that no deadline has passed."""

    waiting: int
    cancel_us: list[float] = field(default_factory=list)
    overdue_us: list[float] = field(default_factory=list)


class Jobs:
    """Jobs with prompts of their own, each a millisecond later than the one before."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._made = 0
        self._holders = [f"{self._random.getrandbits(80):020x}" for _ in range(_KEYS)]

    def make(self, count: int) -> list[Job]:
        """So many, as the Scheduler gets them: fresh from a call."""
        made: list[Job] = pickle.loads(pickle.dumps([self._job() for _ in range(count)]))
        return made

    def _job(self) -> Job:
        self._made += 1
        created_ms, holder = _BEGIN_MS + self._made, self._random.choice(self._holders)
        return Job(
            id=new_job_id(),
            account_id=AccountId(f"acct_{holder}"),
            key_id=KeyId(f"key_{holder}"),
            model=_MODEL,
            messages=(ChatMessage("user", self._random.randbytes(_PROMPT_CHARACTERS // 2).hex()),),
            sampling=Sampling(max_tokens=self._random.randrange(16, 1024)),
            created_ms=created_ms,
            deadline_ms=created_ms + _TIMEOUT_MS,
            prompt_tokens=_PROMPT_CHARACTERS // 4,
        )


class Line:
    """The jobs that wait: what the Scheduler keeps of them."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._latest: list[str] = []
        self.queue = JobQueue()
        self.deadlines = Deadlines()

    def grow(self, length: int) -> None:
        while (missing := length - len(self.queue)) > 0:
            self.accept(self._jobs.make(min(_BATCH, missing)))

    def accept(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self.queue.push(Waiting(job))
            self.deadlines.keep(job.id, job.deadline_ms)
        self._latest = [job.id for job in jobs]

    def latest(self) -> list[str]:
        """The last jobs that came, if they wait."""
        return [job_id for job_id in self._latest if job_id in self.queue]

    def cancel(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            self.queue.remove(job_id)

    def look_at_deadlines(self) -> None:
        if list(self.deadlines.passed(_BEGIN_MS)):
            raise RuntimeError("a deadline has passed")


class Floor:
    """A Scheduler whose engines are full, and whose jobs come from a line that it shares with other floors."""

    def __init__(self, engines: int, line: Line) -> None:
        self._random = random.Random(engines)
        nobody: Any = None  # placing and releasing call no other actor
        catalogue = Catalogue((Model(id=_MODEL, replicas=Replicas(engines, engines)),))
        self._scheduler = Scheduler(catalogue, nobody, nobody, nobody, list)
        self._scheduler._queue = line.queue
        for first in range(0, engines, _ENGINES_PER_NODE):
            numbers = range(first, min(first + _ENGINES_PER_NODE, engines))
            self._scheduler._fleet.report(_heartbeat(numbers), 0.0, 0)
        line.grow(engines * _SLOTS)
        self._running: list[str] = []
        self.place(engines * _SLOTS)

    def end(self, count: int) -> list[str]:
        """Jobs that are to be released next: any of those that run."""
        self._random.shuffle(self._running)
        ended, self._running = self._running[:count], self._running[count:]
        return ended

    def release(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            self._scheduler._release(job_id)

    def place(self, count: int) -> None:
        """Place so many. Raises RuntimeError if there is no job or no room."""
        for _ in range(count):
            placing = self._scheduler._place(_LANE)
            if placing is None:
                raise RuntimeError("nothing to place, or nowhere")
            self._running.append(placing[1].job_id)


def main() -> None:
    options = _options()
    held_bytes = _in_a_child(bytes_of_a_queue, options.hold)
    cells, queues = _measure(options)
    print("\n" + _summary(cells))
    print("\n" + _queue_summary(queues))
    print(f"\n{options.hold:,} waiting jobs: {held_bytes / 1e6:,.0f} MB, {held_bytes / options.hold:,.0f} bytes each")
    if options.json is not None:
        told = {
            "cells": [asdict(cell) for cell in cells],
            "queues": [asdict(cell) for cell in queues],
            "memory": {"waiting": options.hold, "bytes": held_bytes},
        }
        options.json.write_text(json.dumps(told, indent=1) + "\n")


def bytes_of_a_queue(length: int) -> int:
    """By how much this process grows when so many jobs wait in it."""
    process, line = psutil.Process(), Line(Jobs())
    line.grow(_BATCH)
    before: int = process.memory_info().rss
    line.grow(_BATCH + length)
    after: int = process.memory_info().rss
    return after - before


def _in_a_child(function: Callable[[int], int], argument: int) -> int:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, argument).result()


def _measure(options: Options) -> tuple[list[Cell], list[QueueCell]]:
    """The queue only grows, so the shortest comes first."""
    jobs = Jobs()
    line = Line(jobs)
    floors = {engines: Floor(engines, line) for engines in options.engines}
    cells, queues = [], []
    for waiting in sorted(options.waiting):
        line.grow(waiting)
        of_engines = {engines: Cell(engines, waiting) for engines in options.engines}
        queues.append(QueueCell(waiting))
        for number in range(options.rounds):
            for engines, cell in of_engines.items():
                _place_and_release(cell, floors[engines], line, jobs, options.decisions)
                _say(f"round {number + 1}: {engines:,} engines, {waiting:,} waiting: {cell.decision_us[-1]:.1f} us")
            _look_through(queues[-1], line)
        cells += of_engines.values()
    return cells, queues


def _place_and_release(cell: Cell, floor: Floor, line: Line, jobs: Jobs, decisions: int) -> None:
    place_s = release_s = accept_s = 0.0
    batch = min(_BATCH, cell.engines * _SLOTS)
    for _ in range(rounds := max(1, decisions // batch)):
        ended, new = floor.end(batch), jobs.make(batch)
        release_s += _seconds(partial(floor.release, ended))
        accept_s += _seconds(partial(line.accept, new))
        place_s += _seconds(partial(floor.place, batch))
    for times, seconds in ((cell.place_us, place_s), (cell.release_us, release_s), (cell.accept_us, accept_s)):
        times.append(seconds * 1e6 / (rounds * batch))


def _look_through(cell: QueueCell, line: Line) -> None:
    cell.overdue_us.append(_seconds(line.look_at_deadlines) * 1e6)
    if cancelled := line.latest():
        cell.cancel_us.append(_seconds(partial(line.cancel, cancelled)) * 1e6 / len(cancelled))
        line.grow(cell.waiting)


def _seconds(action: Callable[[], None]) -> float:
    begin_s = time.perf_counter()
    action()
    return time.perf_counter() - begin_s


def _heartbeat(numbers: Sequence[int]) -> NodeReport:
    node_id = NodeId(f"node_{numbers[0] // _ENGINES_PER_NODE:016x}")
    engines = [
        EngineReport(EngineId(f"{_MODEL}/{number}"), _MODEL, node_id, "ready", slots=_SLOTS, context_length=8192)
        for number in numbers
    ]
    return NodeReport(node_id, Hardware("host", 64.0, 1 << 40, len(engines)), tuple(engines))


def _summary(cells: Sequence[Cell]) -> str:
    head = ["engines", "waiting jobs", "us per decision", "decisions/s", "to place", "to release", "to accept"]
    return report.table(
        head,
        [
            [
                f"{cell.engines:,}",
                f"{cell.waiting:,}",
                report.spread(cell.decision_us, 1),
                f"{1e6 / statistics.median(cell.decision_us):,.0f}",
                *(f"{statistics.median(us):.1f}" for us in (cell.place_us, cell.release_us, cell.accept_us)),
            ]
            for cell in sorted(cells, key=lambda cell: (cell.engines, cell.waiting))
        ],
    )


def _queue_summary(cells: Sequence[QueueCell]) -> str:
    rows = [
        [
            f"{cell.waiting:,}",
            report.spread(cell.cancel_us, 1) if cell.cancel_us else "-",
            report.spread(cell.overdue_us, 1),
        ]
        for cell in cells
    ]
    return report.table(["waiting jobs", "us to cancel one", "us to look for passed deadlines"], rows)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.decisions", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--engines", type=_numbers, default=(10, 100, 1000, 10_000), help="how many, each in turn (10,100,1000,10000)")
    add("--waiting", type=_numbers, default=(0, 1000, 10_000, 100_000, 1_000_000), help="how many jobs (0,...,1000000)")
    add("--rounds", type=int, default=3)
    add("--decisions", type=int, default=10_000, help="of a round, for each number of engines and jobs (10000)")
    add("--hold", type=int, default=1_000_000, help="waiting jobs whose memory is measured (1000000)")
    add("--json", type=Path, help="where to write every round's figures")
    return Options(**vars(parser.parse_args()))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
