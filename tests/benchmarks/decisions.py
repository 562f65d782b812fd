"""What placing a job costs, by engines and by waiting jobs: python -m tests.benchmarks.decisions

The Scheduler's own decisions (`cluster/leases/`), without Ray. Every engine is full, as it is when jobs wait, and
whenever jobs end, those that wait longest take their places. Without waiting jobs, each takes the place of one that has
ended as it comes. Times are processor time. Memory is that of a process of its own, which holds jobs as they come out
of a call: no two share anything.

With prefixes, the jobs are turns of conversations, several for each slot, that begin with one of a few system prompts
and grow; engines keep prompts, and tell what they found. Without, nothing is known of any prompt.
"""

import argparse
import itertools
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

import psutil

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.fleet.fleet import Fleet
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId, new_job_id
from cluster.leases.actions import Record
from cluster.leases.leases import Leases
from cluster.leases.places import Queued
from cluster.messages.machines import EngineReport, Hardware, NodeReport
from cluster.messages.placements import Placed
from cluster.messages.work import ChatMessage, Job, Released, Sampling, Submission
from cluster.prefixes.chain import chain
from cluster.timing import Timing
from tests.benchmarks import report

_MODEL = "model"
_SLOTS = 4
_ENGINES_PER_NODE = 8
_BATCH = 64
_PROMPT_CHARACTERS = 200
_KEYS = 1000
_TOKEN_BYTES = 4
_BLOCK_TOKENS = 16
_PREFIX_TOKENS = Model(_MODEL).prefix_tokens
_CACHE_TOKENS = 480_000
_SYSTEMS = 10
_SYSTEM_TOKENS = 256
_TURN_TOKENS = 150
_LONGEST_TOKENS = 3000
_CONVERSATIONS_PER_SLOT = 4
_TIMEOUT_MS = 3_600_000
_BEGIN_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Options:
    engines: tuple[int, ...]
    waiting: tuple[int, ...]
    rounds: int
    decisions: int
    prefixes: tuple[bool, ...]
    hold: int
    json: Path | None


@dataclass(frozen=True)
class Cell:
    """Microseconds per job, of each round, with so many engines and waiting jobs.

    To accept it, and to release it and place the one that has waited longest. Without waiting jobs each is placed as it
    is accepted.
    """

    engines: int
    waiting: int
    prefixes: bool = False
    release_us: list[float] = field(default_factory=list)
    accept_us: list[float] = field(default_factory=list)

    @property
    def decision_us(self) -> list[float]:
        return [release + accept for release, accept in zip(self.release_us, self.accept_us, strict=True)]


@dataclass(frozen=True)
class QueueCell:
    """Microseconds, of each round: to cancel a job that waits, and for a tick when no deadline has come."""

    waiting: int
    cancel_us: list[float] = field(default_factory=list)
    tick_us: list[float] = field(default_factory=list)


class Conversations:
    """The prompts of turns: each is what was said before in its conversation, and a little more."""

    def __init__(self, count: int) -> None:
        self._random = random.Random(1)
        self._systems = [self._tokens(_SYSTEM_TOKENS) for _ in range(_SYSTEMS)]
        self._said = [self._random.choice(self._systems) for _ in range(count)]

    def turn(self) -> bytes:
        """The tokens of the next one, of any conversation. One that has become long begins anew."""
        number = self._random.randrange(len(self._said))
        before = self._said[number]
        if len(before) > _LONGEST_TOKENS * _TOKEN_BYTES:
            before = self._random.choice(self._systems)
        self._said[number] = before + self._tokens(self._random.randrange(2 * _TURN_TOKENS))
        return self._said[number]

    def _tokens(self, count: int) -> bytes:
        return self._random.randbytes(_TOKEN_BYTES * count)


class Jobs:
    """Jobs with prompts of their own, each a millisecond later than the one before. Turns of so many conversations."""

    def __init__(self, conversations: int = 0) -> None:
        self._conversations = Conversations(conversations) if conversations else None
        self._random = random.Random(0)
        self._made = 0
        self._holders = [f"{self._random.getrandbits(80):020x}" for _ in range(_KEYS)]

    def make(self, count: int) -> list[Submission]:
        """So many, as the Scheduler gets them: fresh from a call."""
        made: list[Submission] = pickle.loads(pickle.dumps([self._submission() for _ in range(count)]))
        return made

    def _submission(self) -> Submission:
        if self._conversations is None:
            return Submission(self._job(_PROMPT_CHARACTERS // 4))
        tokens = self._conversations.turn()
        return Submission(self._job(len(tokens) // _TOKEN_BYTES), prefix=chain(tokens, _PREFIX_TOKENS * _TOKEN_BYTES))

    def _job(self, prompt_tokens: int) -> Job:
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
            prompt_tokens=prompt_tokens,
        )


class Floor:
    """Leases whose engines are full, and jobs that wait for them."""

    def __init__(self, engines: int, jobs: Jobs, prefixes: bool = False) -> None:
        """With `prefixes`, engines keep prompts, and have always found the first half of one."""
        self._random = random.Random(engines)
        self._prefixes = prefixes
        self._jobs = jobs
        self._latest: list[JobId] = []
        catalogue = Catalogue((Model(id=_MODEL, replicas=Replicas(engines, engines)),))
        self._leases = Leases(Fleet(catalogue, (), 0.0), Timing())
        for first in range(0, engines, _ENGINES_PER_NODE):
            numbers = range(first, min(first + _ENGINES_PER_NODE, engines))
            self._leases.reported(_heartbeat(numbers, _CACHE_TOKENS if prefixes else 0), 0.0, _BEGIN_MS)
        self._running: list[Released] = []
        self.grow(engines * _SLOTS)

    @property
    def waiting(self) -> int:
        return len(self._leases.places.queue)

    def grow(self, jobs: int) -> None:
        """Take in so many more jobs."""
        while jobs > 0:
            self.accept(self._jobs.make(min(_BATCH, jobs)))
            jobs -= _BATCH

    def end(self, count: int) -> list[Released]:
        """Jobs that are to be released next: any of those that run."""
        self._random.shuffle(self._running)
        ended, self._running = self._running[:count], self._running[count:]
        return ended

    def accept(self, submissions: Sequence[Submission]) -> None:
        """Jobs are submitted and become durable. They wait, unless an engine has room."""
        placed = self._leases.submitted(submissions, _BEGIN_MS).placed
        self._leases.confirmed([submission.job for submission in submissions])
        self._leases.answered(submissions)
        self._latest = [submission.job.id for submission in submissions]
        self._note(placed)

    def release(self, released: Sequence[Released]) -> None:
        """Jobs have ended. Those that have waited longest take their places."""
        for action in self._leases.released(released, 0.0, _BEGIN_MS):
            if isinstance(action, Record):
                self._note(action.placed)

    def _note(self, placed: Sequence[Placed]) -> None:
        found = 1000 if self._prefixes else None
        self._running += [Released(where.job_id, where.attempt, cached_tokens=found) for where in placed]

    def latest(self) -> list[JobId]:
        """The last jobs that came, if they wait."""
        return [job_id for job_id in self._latest if isinstance(self._leases.places.get(job_id), Queued)]

    def cancel(self, job_ids: Iterable[JobId]) -> None:
        for job_id in job_ids:
            self._leases.cancelled(job_id, _BEGIN_MS)

    def tick(self) -> None:
        """What the passing of time costs when no deadline has come."""
        self._leases.tick(0.0, _BEGIN_MS)


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
    process, floor = psutil.Process(), Floor(1, Jobs())
    before: int = process.memory_info().rss
    floor.grow(length)
    after: int = process.memory_info().rss
    return after - before


def _in_a_child(function: Callable[[int], int], argument: int) -> int:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, argument).result()


def _measure(options: Options) -> tuple[list[Cell], list[QueueCell]]:
    """The queue of a floor only grows, so the shortest comes first."""
    cells, queues = [], []
    for engines, prefixes in itertools.product(options.engines, options.prefixes):
        jobs = Jobs(engines * _SLOTS * _CONVERSATIONS_PER_SLOT if prefixes else 0)
        floor = Floor(engines, jobs, prefixes)
        for waiting in sorted(options.waiting):
            floor.grow(waiting - floor.waiting)
            cells.append(cell := Cell(engines, waiting, prefixes))
            queue = QueueCell(waiting)
            for number in range(options.rounds):
                _place_and_release(cell, floor, jobs, options.decisions)
                _look_through(queue, floor)
                _say(f"round {number + 1}: {_name(cell)}: {cell.decision_us[-1]:.1f} us")
            if engines == options.engines[0]:
                queues.append(queue)
    return cells, queues


def _place_and_release(cell: Cell, floor: Floor, jobs: Jobs, decisions: int) -> None:
    release_s = accept_s = 0.0
    batch = min(_BATCH, cell.engines * _SLOTS)
    for _ in range(rounds := max(1, decisions // batch)):
        ended, new = floor.end(batch), jobs.make(batch)
        release_s += _seconds(partial(floor.release, ended))
        accept_s += _seconds(partial(floor.accept, new))
    for times, seconds in ((cell.release_us, release_s), (cell.accept_us, accept_s)):
        times.append(seconds * 1e6 / (rounds * batch))


def _look_through(cell: QueueCell, floor: Floor) -> None:
    cell.tick_us.append(_seconds(floor.tick) * 1e6)
    if cancelled := floor.latest():
        cell.cancel_us.append(_seconds(partial(floor.cancel, cancelled)) * 1e6 / len(cancelled))
        floor.grow(len(cancelled))


def _seconds(action: Callable[[], None]) -> float:
    """Of processor time: others may be at work on this machine."""
    begin_s = time.process_time()
    action()
    return time.process_time() - begin_s


def _name(cell: Cell) -> str:
    return f"{cell.engines:,} engines, {cell.waiting:,} waiting, {'with' if cell.prefixes else 'without'} prefixes"


def _heartbeat(numbers: Sequence[int], cache_tokens: int) -> NodeReport:
    node_id = NodeId(f"node_{numbers[0] // _ENGINES_PER_NODE:016x}")
    engines = [
        EngineReport(
            EngineId(f"{_MODEL}/{number}"),
            _MODEL,
            node_id,
            "ready",
            slots=_SLOTS,
            context_length=8192,
            cache_tokens=cache_tokens,
            block_tokens=_BLOCK_TOKENS if cache_tokens else 0,
        )
        for number in numbers
    ]
    return NodeReport(node_id, Hardware("host", 64.0, 1 << 40, len(engines)), tuple(engines))


def _summary(cells: Sequence[Cell]) -> str:
    head = [
        "engines",
        "waiting jobs",
        "prefixes",
        "us per decision",
        "decisions/s",
        "to release and place the next",
        "to accept",
    ]
    return report.table(
        head,
        [
            [
                f"{cell.engines:,}",
                f"{cell.waiting:,}",
                "yes" if cell.prefixes else "no",
                report.spread(cell.decision_us, 1),
                f"{1e6 / statistics.median(cell.decision_us):,.0f}",
                *(f"{statistics.median(us):.1f}" for us in (cell.release_us, cell.accept_us)),
            ]
            for cell in sorted(cells, key=lambda cell: (cell.engines, cell.waiting, cell.prefixes))
        ],
    )


def _queue_summary(cells: Sequence[QueueCell]) -> str:
    rows = [
        [
            f"{cell.waiting:,}",
            report.spread(cell.cancel_us, 1) if cell.cancel_us else "-",
            report.spread(cell.tick_us, 1),
        ]
        for cell in cells
    ]
    return report.table(["waiting jobs", "us to cancel one", "us for a tick"], rows)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.decisions", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--engines", type=_numbers, default=(10, 100, 1000, 10_000), help="how many, each in turn (10,100,1000,10000)")
    add("--waiting", type=_numbers, default=(0, 1000, 10_000, 100_000, 1_000_000), help="how many jobs (0,...,1000000)")
    add("--rounds", type=int, default=3)
    add("--decisions", type=int, default=10_000, help="of a round, for each number of engines and jobs (10000)")
    add("--prefixes", type=_switches, default=(False, True), help="off, on or both: off,on")
    add("--hold", type=int, default=1_000_000, help="waiting jobs whose memory is measured (1000000)")
    add("--json", type=Path, help="where to write every round's figures")
    return Options(**vars(parser.parse_args()))


def _switches(text: str) -> tuple[bool, ...]:
    return tuple({"off": False, "on": True}[part] for part in text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
