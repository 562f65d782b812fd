"""The whole control plane in virtual time, with one engine that accounts compete for: what each of them was served."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, cast
from unittest import mock

from msgspec.structs import replace

from actors.backends.base import Backend
from actors.backends.simulated import SimulatedBackend
from cluster.catalogue import Model
from cluster.clock import Clock
from cluster.ids import AccountId, JobId
from cluster.messages.people import Account
from cluster.messages.work import Accepted, Submission
from cluster.timing import Timing
from tests.support.plain_system import SIM, PlainSystem
from tests.support.virtual_time import TurnCondition, TurnThread, VirtualClock, run_virtually

SLOTS = 8
TOKEN_S = 0.05
_THREADS = "actors.backends.simulated.backend.Thread"
_CONDITIONS = "actors.backends.simulated.backend.Condition"
_ENGINE = {"first_token_s": 0.0, "token_s": TOKEN_S, "batch_slots": SLOTS, "output_tokens": 1000}
_INTERVAL_S = 0.02
_JOB_TIMEOUT_S = 100_000
_MAX_QUEUE = 100_000


@dataclass(frozen=True)
class Traffic:
    """Jobs of an account: so many, one every so often from the beginning on or all at once.

    Of `tokens`, more or fewer by `spread` at most, spread evenly.
    """

    account: str
    jobs: int
    tokens: int = 100
    spread: int = 0
    every_s: float = 0.0
    begin_s: float = 0.0

    def lengths(self) -> Iterator[int]:
        """The tokens of each of the jobs."""
        for number in range(self.jobs):
            # Multiples of the golden ratio fill any interval evenly.
            yield self.tokens + round(self.spread * (2 * (number * 0.6180339887 % 1) - 1))


@dataclass(frozen=True)
class Loss:
    """The Scheduler's process is killed, and there is another one after a while.

    With `forgets` what accounts have had is lost with it, as if nobody had written that down.
    """

    at_s: float
    for_s: float
    forgets: bool = False


@dataclass(frozen=True)
class Served:
    """A job, and when it came, began and ended: None where it has not yet."""

    account: str
    came_s: float
    began_s: float | None
    ended_s: float | None
    tokens: int

    def tokens_by(self, at_s: float) -> float:
        """How many of its tokens had been made by then."""
        if self.began_s is None or at_s <= self.began_s:
            return 0.0
        if self.ended_s is not None and at_s >= self.ended_s:
            return float(self.tokens)
        took_s = TOKEN_S * self.tokens if self.ended_s is None else self.ended_s - self.began_s
        return self.tokens * min(1.0, (at_s - self.began_s) / took_s)


@dataclass(frozen=True)
class Play:
    """What came of some traffic."""

    jobs: Sequence[Served]

    def waits(self, account: str) -> list[float]:
        """The seconds from coming to beginning of this account's jobs that have begun."""
        return [job.began_s - job.came_s for job in self._of(account) if job.began_s is not None]

    def took(self, account: str) -> list[float]:
        """The seconds from coming to ending of this account's jobs that have ended."""
        return [job.ended_s - job.came_s for job in self._of(account) if job.ended_s is not None]

    def tokens(self, begin_s: float, end_s: float) -> Counter[str]:
        """How many tokens each account was served between these times."""
        served: Counter[str] = Counter()
        for job in self.jobs:
            served[job.account] += round(job.tokens_by(end_s) - job.tokens_by(begin_s))
        return served

    def _of(self, account: str) -> list[Served]:
        return [job for job in self.jobs if job.account == account]


def play(
    traffic: Iterable[Traffic],
    for_s: float,
    weights: Mapping[str, int] | None = None,
    in_order: bool = False,
    losses: Sequence[Loss] = (),
    *,
    prepared: Path,
) -> Play:
    """Play this traffic for so long, on a copy of this database.

    With `in_order` all of it comes from one account, and is served first come first served.
    """
    with TemporaryDirectory() as folder:
        database = Path(folder) / "infernet.db"
        database.touch(0o600)
        database.write_bytes(prepared.read_bytes())
        return run_virtually(_play(database, list(traffic), for_s, weights or {}, in_order, losses))


async def _play(
    database: Path,
    traffic: Sequence[Traffic],
    for_s: float,
    weights: Mapping[str, int],
    in_order: bool,
    losses: Sequence[Loss],
) -> Play:
    async with SharedSystem(database) as system:
        for name in {each.account for each in traffic}:
            account = Account(AccountId(name), name, 0, weight=weights.get(name, 1))
            await system.gateway.accounts.create(account)
        await system.scheduler.learn_weights()
        tasks = [asyncio.create_task(system.submit(each, in_order)) for each in traffic]
        tasks += [asyncio.create_task(system.lose_scheduler(loss)) for loss in losses]
        await asyncio.sleep(for_s)
        for task in tasks:
            task.cancel()
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(done, Exception):
                raise done
        return system.played()


class SharedSystem(PlainSystem):
    """One engine of `SLOTS`, which makes a token of each of its jobs every `TOKEN_S`. In a `VirtualLoop`."""

    def __init__(self, database: Path) -> None:
        model = replace(SIM, engine=_ENGINE, max_queue=_MAX_QUEUE)
        clock = cast(Clock, VirtualClock())
        super().__init__(
            database,
            [model],
            job_timeout_s=_JOB_TIMEOUT_S,
            timing=Timing(),
            clock=clock,
            interval_s=_INTERVAL_S,
        )
        self._submitted: dict[JobId, tuple[str, int]] = {}

    async def __aenter__(self) -> Self:
        self._patches = [mock.patch(_THREADS, TurnThread), mock.patch(_CONDITIONS, TurnCondition)]
        for patch in self._patches:
            patch.start()
        await super().__aenter__()
        await self.ready()
        self._began_ms = self.clock.wall_ms()
        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            await super().__aexit__(*error)
        finally:
            for patch in self._patches:
                patch.stop()

    def new_backend(self, model: Model) -> Backend:
        return SimulatedBackend(model.engine, self.clock, model.adapters)

    async def submit(self, traffic: Traffic, in_order: bool) -> None:
        account_id = self.principal.account_id if in_order else AccountId(traffic.account)
        submitted: list[asyncio.Task[Accepted]] = []
        await asyncio.sleep(traffic.begin_s)
        for tokens in traffic.lengths():
            job = self.job(traffic.account, tokens, account_id=account_id)
            self._submitted[job.id] = traffic.account, tokens
            submitted.append(asyncio.create_task(self.gateway.intake.submit(Submission(job))))
            await asyncio.sleep(traffic.every_s)
        await asyncio.gather(*submitted)

    async def lose_scheduler(self, loss: Loss) -> None:
        await asyncio.sleep(loss.at_s)
        self._actors["scheduler"].kill()
        await asyncio.sleep(loss.for_s)
        if loss.forgets:
            marks = [replace(mark, counter=None) for mark in await self.ledger.share_marks()]
            await self.ledger.mark_shares(marks, self.scheduler.role.holder)
        await self.start_scheduler()

    def played(self) -> Play:
        """All jobs, in the order in which they came."""
        rows = self.rows("SELECT id, created_ms, placed_ms, ended_ms FROM jobs ORDER BY created_ms, id")
        return Play([self._served(JobId(job_id), *times) for job_id, *times in rows])

    def _served(self, job_id: JobId, came_ms: int, began_ms: int | None, ended_ms: int | None) -> Served:
        account, tokens = self._submitted[job_id]
        came_s, began_s, ended_s = (
            None if ms is None else (ms - self._began_ms) / 1000 for ms in (came_ms, began_ms, ended_ms)
        )
        assert came_s is not None
        return Served(account, came_s, began_s, ended_s, tokens)
