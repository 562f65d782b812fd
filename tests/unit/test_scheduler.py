"""The Scheduler: queue, leases, deadlines, and the way back after a loss. Time is given to its tick."""

import asyncio
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import pytest
from msgspec.structs import replace

from actors.scheduler import Scheduler
from actors.wire.calls import Gone, Unreached
from cluster.catalogue import Catalogue, Model, Replicas
from cluster.errors import BudgetExceeded, DatabaseUnavailable, InfernetError
from cluster.fleet.fleet import Fleet
from cluster.fleet.gpu_memory import Demand
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.job_states import JobState
from cluster.leases.places import Ending, Leased, Lost, Queued, Recovering
from cluster.leases.suspicion import MAX_ATTEMPTS, MOST_LOSSES
from cluster.liveness.roles import SCHEDULER_ROLE, Roles
from cluster.messages import webhooks
from cluster.messages.alarms import Known
from cluster.messages.machines import EngineOrder, EngineReport, FailedAttempt, Gpu, Hardware, NodeOrders, NodeReport
from cluster.messages.models import ModelSettings
from cluster.messages.people import ShareMark
from cluster.messages.placements import Placed
from cluster.messages.work import (
    Accepted,
    Dispatch,
    Failure,
    Fenced,
    Job,
    JobAttempt,
    OpenAttempt,
    OpenJob,
    Output,
    Released,
    Sampling,
    Submission,
)
from cluster.queue import LaneId
from cluster.timing import Timing
from tests.support.clocks import StillClock
from tests.support.plain_system import run, settled, until
from tests.support.seats import GivenCluster

N0, N1 = NodeId("node_0"), NodeId("node_1")
E0, E1 = EngineId("m/0"), EngineId("m/1")
NOW_MS = 1_700_000_000_000
ORDER_S, GRACE_S = Timing().order_s, Timing().no_capacity_grace_s
OFFLINE_AFTER_S, SETTLE_S = Timing().offline_after_s, Timing().settle_s
UNREACHED_S = Timing().unreached_s
M = Model(id="m", source="s", gpus=0, cpus=1.0, max_queue=3)


SOME = Output("some", (1, 2), (2, 4), epoch=1)
AGE_MS = 1_500


class PlainLedger:
    def __init__(self, open_jobs: Sequence[OpenJob] = ()) -> None:
        self.open = list(open_jobs)
        self.roles = Roles()
        self.created: list[str] = []
        self.jobs: dict[JobId, Job] = {}
        self.failing: Exception | None = None
        self.committing = asyncio.Event()
        self.committing.set()
        self.placements: list[Placed] = []
        self.happenings: list[webhooks.Event] = []
        self.known_ = Known()

        self.refused: dict[str, InfernetError] = {}
        self.earlier: dict[str, Accepted] = {}
        self.weight_of: dict[AccountId, int] = {}
        self.settings_of_models: list[ModelSettings] = []
        self.marks: dict[tuple[str, AccountId], ShareMark] = {}

    async def share_marks(self) -> list[ShareMark]:
        return list(self.marks.values())

    async def mark_shares(self, marks: Sequence[ShareMark], scheduler: str) -> None:
        self.marks |= {(mark.model, mark.account_id): mark for mark in marks}

    async def model_settings(self) -> list[ModelSettings]:
        return self.settings_of_models

    async def weights(self) -> dict[AccountId, int]:
        return self.weight_of

    async def known(self) -> Known:
        return self.known_

    async def happened(self, events: Sequence[webhooks.Event], known: Known, scheduler: str) -> None:
        if self.failing is not None:
            raise self.failing
        self.happenings += events
        self.known_ = known

    async def create(
        self, submissions: Sequence[Submission], begun: Sequence[Placed] = ()
    ) -> list[Accepted | InfernetError]:
        await self.committing.wait()
        if self.failing is not None:
            raise self.failing
        self.created += [s.job.id for s in submissions if s.job.id not in self.refused | self.earlier]
        self.jobs |= {s.job.id: s.job for s in submissions}
        self.placements += [placed for placed in begun if placed.job_id in self.created]
        return [self._answer(s.job) for s in submissions]

    def _answer(self, job: Job) -> Accepted | InfernetError:
        accepted = self.earlier.get(job.id) or Accepted(job.id, job.model, job.created_ms)
        return self.refused.get(job.id) or accepted

    async def over_budget(self, submissions: Sequence[Submission]) -> dict[JobId, InfernetError]:
        return {s.job.id: self.refused[s.job.id] for s in submissions if s.job.id in self.refused}

    async def placed(self, placements: Sequence[Placed]) -> None:
        self.placements += placements

    async def open_jobs(self, job_ids: Sequence[JobId] | None = None) -> list[OpenJob]:
        return [each for each in self.open if job_ids is None or each.job.id in job_ids]

    async def hold(self, role: str, holder: str, begins: bool) -> bool:
        return self.roles.hold(role, holder, begins)

    async def open_attempts(self) -> list[OpenAttempt]:
        return [(each.job.id, each.attempt, each.job.created_ms) for each in self.open]


class PlainJournal:
    """Fences like the Journal; `outputs` is what jobs have, `failures_to_...` how often it cannot be
    reached.

    The end of a job in `ending` is being written down.
    """

    def __init__(self) -> None:
        self.attached: list[EngineId] = []
        self.failed: list[Failure] = []
        self.fenced: list[JobAttempt] = []
        self.outputs: dict[str, Output] = {}
        self.attempts: dict[str, int] = {}
        self.ended: set[str] = set()
        self.ending: set[str] = set()
        self.failures_to_fence = 0
        self.failures_to_fail = 0
        self.failures_to_attach = 0

    async def attach(self, engine_ids: Sequence[EngineId]) -> None:
        if self.failures_to_attach:
            self.failures_to_attach -= 1
            raise Gone("journal died")
        self.attached += engine_ids

    async def fail(self, failures: Sequence[Failure]) -> None:
        if self.failures_to_fail:
            self.failures_to_fail -= 1
            raise Gone("journal died")
        self.failed += failures

    async def fence(self, jobs: Sequence[JobAttempt]) -> list[Fenced]:
        if self.failures_to_fence:
            self.failures_to_fence -= 1
            raise Gone("journal died")
        self.fenced += jobs
        return [self._fence(job_id, attempt) for job_id, attempt in jobs if job_id not in self.ending]

    def _fence(self, job_id: str, attempt: int) -> Fenced:
        number = self.attempts[job_id] = max(self.attempts.get(job_id, 0), attempt) + 1
        return Fenced(JobId(job_id), number, self.outputs.get(job_id, Output()), job_id in self.ended)


class PlainEngine:
    def __init__(self) -> None:
        self.dispatches: list[Dispatch] = []
        self.confirmed: list[JobAttempt] = []
        self.aborted: list[JobAttempt] = []
        self.forgotten: list[JobAttempt] = []
        self.failure: Exception | None = None
        self.asked = 0
        self.listening = asyncio.Event()
        self.listening.set()

    async def generate(self, dispatches: Sequence[Dispatch]) -> None:
        await self.listening.wait()
        if self.failure is not None:
            raise self.failure
        self.dispatches += dispatches

    async def confirm(self, jobs: Sequence[JobAttempt]) -> None:
        self.confirmed += jobs

    async def abort(self, jobs: Sequence[JobAttempt]) -> None:
        self.aborted += jobs

    async def forget(self, jobs: Sequence[JobAttempt]) -> None:
        self.forgotten += jobs

    async def describe(self) -> EngineReport:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return EngineReport(EngineId("m/0"), "m", NodeId("node_0"), "ready")

    @property
    def jobs(self) -> list[str]:
        return [str(dispatch.job.id) for dispatch in self.dispatches]


def job(name: str, node: NodeId | None = None, model: str = "m", deadline_ms: int | None = None) -> Job:
    return Job(
        id=JobId(name),
        account_id=AccountId("acct"),
        key_id=KeyId("key"),
        model=model,
        messages=(),
        sampling=Sampling(max_tokens=10),
        created_ms=NOW_MS,
        deadline_ms=NOW_MS + 300_000 if deadline_ms is None else deadline_ms,
        node_id=node,
    )


class Stage:
    """A Scheduler with what it calls. Its own ticking stands still: tests tick."""

    def __init__(
        self,
        models: Sequence[Model] = (M,),
        open_jobs: Sequence[OpenJob] = (),
        existing: Sequence[EngineId] = (),
        tick_s: float = 3600.0,
        hold_s: float = 3600.0,
        measure: Callable[[Model], Demand | None] | None = None,
        measure_s: float = 3600.0,
    ) -> None:
        self.ledger = PlainLedger(open_jobs)
        self.journal = PlainJournal()
        self.engines = {E0: PlainEngine(), E1: PlainEngine()}
        self.e0, self.e1 = self.engines[E0], self.engines[E1]
        collaborators: Any = (self.ledger, self.journal, self.engines.__getitem__)
        self.clock = StillClock(NOW_MS)
        timing = Timing(tick_s=tick_s, compare_s=3600.0, hold_s=hold_s, survey_s=3600.0, measure_s=measure_s)
        self.cluster = GivenCluster()
        self.scheduler = Scheduler(
            Catalogue(tuple(models)),
            *collaborators,
            lambda: list(existing),
            self.cluster,
            self.clock,
            timing,
            measure=measure,
        )

    async def __aenter__(self) -> "Stage":
        await self.scheduler.start()
        await settled()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.scheduler.stop()
        await settled()

    async def heartbeat(
        self,
        node: NodeId = N0,
        *engines: EngineId,
        slots: int = 2,
        running: Sequence[JobAttempt] = (),
        age_s: float = 0.0,
        draining: bool = False,
        **more: Any,
    ) -> list[EngineOrder]:
        told: dict[str, Any] = {"slots": slots, "context_length": 128, "running": tuple(running), "age_s": age_s} | more
        reports = tuple(EngineReport(engine, "m", node, "ready", **told) for engine in engines)
        report = NodeReport(node, Hardware("host", 1.0, 1 << 30), reports, draining)
        self.cluster.join(node, report.hardware)
        for engine in reports:
            self.cluster.runs(engine, M)
        await self.scheduler.report(report)
        await self.survey()
        return list(self.scheduler.fleet.orders(node).engines)

    async def survey(self) -> None:
        """Have the Scheduler see to its seats."""
        self.scheduler.surveying.hasten()
        await self.scheduler.surveying.taken()
        await settled()

    async def submit(self, *jobs: Job) -> list[str | None]:
        """The refusals' codes; None for each job that was accepted."""
        answers = await self.scheduler.submit([Submission(job) for job in jobs])
        await settled()
        return [answer.code if isinstance(answer, InfernetError) else None for answer in answers]

    async def released(self, *done: Released) -> None:
        await self.scheduler.released(done)
        await settled()

    async def lost(self, engine_id: EngineId) -> None:
        await self.scheduler.engine_lost(engine_id)
        await settled()

    async def compare(self) -> None:
        """Have the Scheduler compare what it holds with the Ledger."""
        self.scheduler.comparing.hasten()
        await self.scheduler.comparing.taken()
        await settled()

    async def tick(self, after_s: float = 0.0) -> None:
        """Let so much time pass, then the Scheduler's tick."""
        self.clock.advance(after_s)
        self.scheduler.ticking.hasten()
        await self.scheduler.ticking.taken()
        await settled()

    def jobs_at(self, *places: type) -> list[str]:
        """The jobs that are in such places."""
        return sorted(str(job_id) for job_id, place in self.scheduler.leases.places if isinstance(place, places))

    @property
    def queued(self) -> list[str]:
        """The jobs that wait for an engine, in their order."""
        return [str(job_id) for job_id in self.scheduler.leases.places.queue.order(LaneId("m"))]

    @property
    def failures(self) -> list[tuple[str, str]]:
        return [(str(failure.job_id), failure.error) for failure in self.journal.failed]


def test_jobs_go_to_the_engine_in_order_as_far_as_it_has_slots() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert await stage.submit(job("a")) == [None]
            assert await stage.heartbeat() == [EngineOrder(E0, "m")]
            assert stage.e0.jobs == []
            await stage.heartbeat(N0, E0)
            assert stage.journal.attached == [E0]
            assert await stage.submit(job("b"), job("c"), job("d")) == [None] * 3
            assert stage.e0.jobs == ["a", "b"]
            assert [(p.job_id, p.node_id, p.engine_id, p.attempt) for p in stage.ledger.placements] == [
                ("a", N0, E0, 1),
                ("b", N0, E0, 1),
            ]
            (view,) = await stage.scheduler.models()
            assert (view.state, view.queued) == ("ready", 2)
            await stage.released(Released(JobId("a"), 1))
            assert stage.e0.jobs == ["a", "b", "c"]
            await stage.released(Released(JobId("b"), 1), Released(JobId("c"), 1))
            assert stage.e0.jobs == ["a", "b", "c", "d"]

    run(scenario())


def test_a_release_of_another_attempt_or_of_nothing_frees_nothing() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("a"), job("b"))
            await stage.released(Released(JobId("a"), 7), Released(JobId("unknown"), 1))
            assert stage.e0.jobs == ["a"]

    run(scenario())


def test_work_is_spread() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            await stage.heartbeat(N0, E0)
            await stage.heartbeat(N1, E1)
            await stage.submit(*(job(name) for name in "abc"))
            assert sorted(map(len, (stage.e0.jobs, stage.e1.jobs))) == [1, 2]

    run(scenario())


def test_submitting_again_changes_nothing() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            leased, queued = job("leased"), job("queued")
            for _ in range(3):
                assert await stage.submit(leased, queued) == [None, None]
            assert stage.e0.jobs == ["leased"]
            assert stage.queued == ["queued"]

    run(scenario())


def test_refusals() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert await stage.submit(job("a", model="unknown"), job("b", node=N1)) == [
                "model_not_found",
                "node_not_found",
            ]
            await stage.heartbeat(N0, E0, slots=1)
            await stage.heartbeat(N1)
            assert await stage.submit(job("c", node=N1)) == ["no_capacity"]
            for name in "defg":
                assert await stage.submit(job(name)) == [None]
            assert await stage.submit(job("h")) == ["no_capacity"]  # three wait already
            assert await stage.submit(job("g")) == [None]  # one of them
            assert await stage.submit(job("d")) == [None]  # the one that runs
            assert stage.ledger.created == ["d", "e", "f", "g", "g", "d"]

    run(scenario())


def test_a_queue_takes_no_more_from_one_call_than_it_holds() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("running"))
            assert await stage.submit(*(job(name) for name in "abcde")) == [None] * 3 + ["no_capacity"] * 2
            assert stage.ledger.created == ["running", "a", "b", "c"]

    run(scenario())


def test_the_moment_after_an_engine_died_jobs_are_accepted() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E0)
            await stage.lost(E0)
            assert await stage.submit(job("a")) == [None]

    run(scenario())


def test_nothing_serves_and_nothing_can_start() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, gpus=1)]) as stage:
            assert await stage.submit(job("early")) == [None]  # no machine has reported yet
            await stage.heartbeat()
            assert await stage.submit(job("late")) == ["no_capacity"]
            await stage.tick(GRACE_S - 1)
            assert stage.failures == []
            await stage.tick(GRACE_S + 1)
            # Its node has been silent for that long by then, but what it lacks was known before.
            assert stage.failures == [("early", "no_capacity")]

    run(scenario())


def test_a_deadline_comes_in_the_queue_and_on_an_engine() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("running"), job("waiting"), job("later", deadline_ms=NOW_MS + 900_000))
            stage.clock.advance_wall(299.0)
            await stage.tick()
            assert stage.failures == []
            stage.clock.advance_wall(2.0)
            await stage.tick()
            assert sorted(stage.failures) == [("running", "timeout"), ("waiting", "timeout")]
            assert stage.e0.aborted == [("running", 1)]
            assert stage.e0.jobs == ["running", "later"]
            stage.clock.advance_wall(1.0)
            await stage.tick()
            assert len(stage.failures) == 2

    run(scenario())


def test_the_deadline_of_a_job_that_has_ended_is_nothing() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            await stage.released(Released(JobId("a"), 1))
            stage.clock.advance_wall(400.0)
            await stage.tick()
            assert (stage.failures, stage.e0.aborted) == ([], [])

    run(scenario())


def test_what_a_lost_engine_worked_on_goes_on_first_from_what_it_has() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert [order.id for order in await stage.heartbeat(N0)] == [E0]
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"), job("b"), job("c"))
            stage.journal.outputs["a"] = SOME
            stage.clock.advance(AGE_MS / 1000)
            await stage.heartbeat(N0, E0)
            await stage.lost(E0)
            assert stage.journal.fenced == [("a", 1), ("b", 1)]
            # Its replacement, on the same machine.
            assert [order.id for order in await stage.heartbeat(N0)] == [E1]
            await stage.heartbeat(N0, E1, slots=3)
            assert [(d.job.id, d.attempt, d.resume) for d in stage.e1.dispatches] == [
                ("a", 2, SOME),
                ("b", 2, Output(epoch=AGE_MS)),  # what may have been told of it is lost
                ("c", 1, Output()),
            ]

    run(scenario())


def test_a_job_that_ended_with_its_engine_is_not_run_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.journal.ended.add("a")
            await stage.lost(E0)
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E1)
            assert stage.e1.jobs == []
            assert stage.jobs_at(object) == []

    run(scenario())


def test_a_job_that_was_ending_when_its_engine_was_lost_is_kept_until_it_has_ended() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=4)
            for name in "abcd":
                await stage.submit(job(name))
            stage.journal.ending |= {"a", "b", "c"}
            await stage.lost(E0)
            assert stage.journal.fenced == [(name, 1) for name in "abcd"]
            assert stage.jobs_at(Lost) == ["a", "b", "c"]
            assert stage.queued == ["d"]

            await stage.released(Released(JobId("a"), 1))
            assert stage.jobs_at(Lost) == ["b", "c"]
            stage.journal.ended.add("b")
            stage.journal.ending.clear()  # of "c" nothing is known any more: the Journal died
            await stage.tick()
            assert stage.journal.fenced[4:] == [("b", 1), ("c", 1)]
            assert stage.jobs_at(Lost) == []
            assert stage.queued == ["c", "d"]

    run(scenario())


def test_a_dispatch_that_fails_is_made_elsewhere() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert [order.id for order in await stage.heartbeat(N0)] == [E0]
            await stage.heartbeat(N0, E0)
            stage.e0.failure = Gone("engine died")
            await stage.submit(job("a"))
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E1)
            assert [(d.job.id, d.attempt) for d in stage.e1.dispatches] == [("a", 2)]

    run(scenario())


def test_a_fence_that_fails_is_tried_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.journal.failures_to_fence = 2
            await stage.lost(E0)
            await stage.tick()
            assert stage.jobs_at(Lost) == ["a"]
            await stage.tick()
            assert stage.jobs_at(Lost) == []
            assert stage.queued == ["a"]

    run(scenario())


async def engine_in_place(stage: Stage) -> tuple[EngineId, PlainEngine]:
    """The engine that is ordered now, ready. What was there before has ended."""
    if not stage.scheduler.fleet.orders(N0).engines:
        await stage.heartbeat(N0)
    (order,) = stage.scheduler.fleet.orders(N0).engines
    engine = stage.engines.setdefault(order.id, PlainEngine())
    await stage.heartbeat(N0, order.id, slots=8)
    return order.id, engine


def test_after_so_many_engines_a_job_fails_with_what_it_has() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.submit(job("a"))
            stage.journal.outputs["a"] = SOME
            for _ in range(MOST_LOSSES):
                assert stage.failures == []
                engine_id, engine = await engine_in_place(stage)
                assert engine.jobs == ["a"]
                await stage.lost(engine_id)
            (failure,) = stage.journal.failed
            assert (failure.job_id, failure.error, failure.output) == ("a", "engine_error", SOME)
            assert stage.jobs_at(object) == []

    run(scenario())


def test_a_job_that_engines_die_of_takes_nobody_with_it() -> None:
    """Which of the five it is, nobody knows: after two engines each is suspected, and runs without the others."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.submit(*(job(name) for name in ["b", "c", "deadly"]))
            died = 0
            while len(stage.scheduler.leases.places):
                engine_id, engine = await engine_in_place(stage)
                if "deadly" in engine.jobs:
                    died += 1
                    await stage.submit(job(f"companion {died}"))
                    assert engine.jobs[-1] == f"companion {died}"
                    await stage.lost(engine_id)
                else:
                    done, engine.dispatches = engine.dispatches, []
                    await stage.released(*(Released(d.job.id, d.attempt) for d in done))
            assert stage.failures == [("deadly", "engine_error")]
            assert died == MOST_LOSSES

    run(scenario())


def test_only_the_death_of_an_engine_is_laid_to_its_jobs() -> None:
    """Orders that are lost, nodes that are silent, engines that cannot be reached: as often as you like."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            for _ in range(MAX_ATTEMPTS + 1):
                stage.clock.advance(ORDER_S + 1.0)
                await stage.heartbeat(N0, E0)
            assert stage.e0.dispatches[-1].attempt == MAX_ATTEMPTS + 2
            for _ in range(MAX_ATTEMPTS + 1):
                await stage.tick(OFFLINE_AFTER_S + 1)
                assert stage.queued == ["a"]
                await stage.heartbeat(N0, E0)
            assert stage.failures == []
            assert stage.jobs_at(Leased) == ["a"]

    run(scenario())


def test_an_engine_that_cannot_be_reached_for_a_moment_keeps_its_other_jobs() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=8)
            await stage.submit(job("before"))
            stage.e0.failure = Unreached("a hiccup of the network")
            await stage.submit(job("a"))
            # It may have the order, or not.
            assert stage.journal.fenced == [("a", 1)] or stage.jobs_at(Queued) == ["a"]
            assert stage.jobs_at(Leased) == ["before"]
            await stage.submit(job("b"))
            assert stage.queued == ["a", "b"]  # nothing goes there
            stage.e0.failure = None
            await stage.tick(0.5)
            assert [(d.job.id, d.attempt) for d in stage.e0.dispatches] == [("before", 1), ("a", 2), ("b", 1)]
            assert await stage.heartbeat(N0, E0, slots=8) == [EngineOrder(E0, "m")]

    run(scenario())


def test_the_jobs_of_an_engine_that_cannot_be_reached_for_long_go_on_elsewhere_and_it_is_kept() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N1)
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.e0.failure = Unreached("its machine's link is down")
            await stage.scheduler.engine_unreached(E0)
            await settled()
            await stage.heartbeat(N1, E1)
            await stage.tick(UNREACHED_S - 0.1)
            assert stage.journal.fenced == []
            await stage.tick(0.2)
            assert [(d.job.id, d.attempt) for d in stage.e1.dispatches] == [("a", 2)]
            assert await stage.heartbeat(N0, E0, running=[("a", 1)]) == [EngineOrder(E0, "m")]
            assert stage.e0.forgotten == [("a", 1)]
            asked = stage.e0.asked
            stage.e0.failure = None
            await stage.tick()
            assert stage.e0.asked == asked + 1
            await stage.submit(job("b"))
            assert stage.e0.jobs == ["a", "b"]

    run(scenario())


def test_an_engine_that_is_asked_whether_it_lives_and_has_died_is_lost() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            assert [order.id for order in await stage.heartbeat(N0)] == [E0]
            await stage.heartbeat(N0, E0)
            stage.e0.failure = Unreached("its machine's link is down")
            await stage.submit(job("a"))
            stage.e0.failure = Gone("it died")
            await stage.tick()
            assert [order.id for order in await stage.heartbeat(N0)] == [E1]

    run(scenario())


def test_an_order_that_an_engine_refuses_is_tried_so_often_and_the_engine_is_kept() -> None:
    """An error of the application says nothing of the engine's life."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=8)
            await stage.submit(job("before"))
            stage.e0.failure = RuntimeError("a prompt in here")
            await stage.submit(job("a"))
            await stage.tick()
            assert stage.failures == [("a", "engine_error")]
            assert "prompt" not in stage.journal.failed[0].error_message
            assert stage.journal.failed[0].attempt == MAX_ATTEMPTS
            assert stage.jobs_at(Leased) == ["before"]
            assert await stage.heartbeat(N0, E0) == [EngineOrder(E0, "m")]

    run(scenario())


def test_an_attempt_that_failed_before_its_first_token_is_made_elsewhere() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            for _ in range(2):
                await stage.heartbeat(N0, E0)
                await stage.heartbeat(N1, E1)
            await stage.submit(job("a"))
            failed = (FailedAttempt(JobId("a"), 1, "CUDA error"),)
            await stage.heartbeat(N0, E0, running=[("a", 1)], failed=failed)
            assert [(d.job.id, d.attempt) for d in stage.e1.dispatches] == [("a", 2)]
            await stage.heartbeat(N0, E0, running=[("a", 1)], failed=failed)  # it says so until it is told to forget
            assert stage.e0.forgotten == [("a", 1)]
            assert stage.failures == []

    run(scenario())


def test_a_job_that_every_engine_fails_at_once_ends_with_what_the_last_one_said() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            for attempt in range(1, MAX_ATTEMPTS + 1):
                assert stage.e0.dispatches[-1].attempt == attempt
                failed = (FailedAttempt(JobId("a"), attempt, f"CUDA error {attempt}"),)
                await stage.heartbeat(N0, E0, running=[("a", attempt)], failed=failed)
            assert len(stage.e0.dispatches) == MAX_ATTEMPTS
            assert [failure.error_message for failure in stage.journal.failed] == [f"CUDA error {MAX_ATTEMPTS}"]

    run(scenario())


def test_a_tick_that_comes_late_loses_nobody() -> None:
    """The Scheduler's process stood still. Heartbeats wait in its inbox."""

    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))], tick_s=0.5) as stage:
            await stage.heartbeat(N0, E0)
            await stage.heartbeat(N1, E1)
            await stage.submit(job("a"), job("b"))
            await stage.tick(OFFLINE_AFTER_S + 1)
            await stage.tick(60.0)
            assert {node.status for node in await stage.scheduler.nodes()} == {"online"}
            assert stage.journal.fenced == []
            for _ in range(int(OFFLINE_AFTER_S / 0.5) + 1):
                await stage.tick(0.5)
            assert {node.status for node in await stage.scheduler.nodes()} == {"offline"}
            assert sorted(stage.journal.fenced) == [("a", 1), ("b", 1)]

    run(scenario())


def test_an_engine_is_to_know_of_an_order_once_it_has_answered_it() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.e0.listening.clear()  # it is busy
            await stage.submit(job("a"))
            stage.clock.advance(ORDER_S + 1.0)
            await stage.heartbeat(N0, E0)
            assert stage.journal.fenced == []
            stage.e0.listening.set()
            await settled()
            stage.clock.advance(ORDER_S)
            await stage.heartbeat(N0, E0)
            assert stage.journal.fenced == []
            stage.clock.advance(0.1)
            await stage.heartbeat(N0, E0)
            assert stage.journal.fenced == [("a", 1)]

    run(scenario())


def test_an_end_that_the_journal_could_not_be_told_of_is_told_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("a"), job("b", deadline_ms=NOW_MS + 900_000))
            stage.journal.failures_to_fail = 2
            stage.clock.advance_wall(301.0)
            await stage.tick()
            assert (stage.failures, stage.jobs_at(Ending)) == ([], ["a"])
            assert stage.e0.jobs == ["a", "b"]
            await stage.heartbeat(N0, E0, slots=1, running=[("a", 1), ("b", 1)])
            assert (stage.e0.aborted, stage.e0.forgotten) == ([("a", 1)] * 2, [])  # its output may still be asked for
            await stage.tick()
            assert stage.failures == []
            await stage.tick()
            assert (stage.failures, stage.jobs_at(Ending)) == ([("a", "timeout")], [])
            assert stage.e0.forgotten == [("a", 1)]
            await stage.tick()
            assert len(stage.failures) == 1

    run(scenario())


@pytest.mark.parametrize("waits_for", ["the Journal", "its client"])
def test_a_job_is_cancelled_though_the_journal_could_not_be_told(waits_for: str) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            if waits_for == "the Journal":
                stage.journal.failures_to_fail = 1
                with pytest.raises(Gone):
                    await stage.scheduler.cancel(JobId("a"))
            else:
                stage.journal.fail = never  # type: ignore[method-assign]
                cancelling = asyncio.create_task(stage.scheduler.cancel(JobId("a")))
                await settled()
                cancelling.cancel()  # the caller's process died
                await settled()
                del stage.journal.fail
            assert stage.jobs_at(Ending) == ["a"]
            await stage.tick()
            assert (stage.failures, stage.jobs_at(object)) == ([("a", "cancelled")], [])

    run(scenario())


async def never(_: object) -> None:
    await asyncio.Event().wait()


def test_who_cancels_a_job_that_ends_already_waits_for_that() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.journal.failures_to_fail = 1
            stage.clock.advance_wall(301.0)
            await stage.tick()
            await stage.scheduler.cancel(JobId("a"))
            assert stage.failures == [("a", "timeout")]

    run(scenario())


def test_an_engine_that_the_journal_could_not_be_told_of_is_read_all_the_same() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            stage.journal.failures_to_attach = 2
            await stage.heartbeat(N0, E0)
            await stage.tick()
            assert stage.journal.attached == []
            await stage.tick()
            await stage.tick()
            assert stage.journal.attached == [E0]
            # It may have stopped reading, and have told nobody.
            await stage.compare()
            assert stage.journal.attached == [E0, E0]

    run(scenario())


def test_a_confirmation_that_was_lost_is_given_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.e0.confirmed.clear()
            await stage.heartbeat(N0, E0, running=[("a", 1)], unconfirmed=(("a", 1),))
            assert stage.e0.confirmed == []  # it may be on its way
            stage.clock.advance(ORDER_S + 1.0)
            await stage.heartbeat(N0, E0, running=[("a", 1)], unconfirmed=(("a", 1),))
            assert stage.e0.confirmed == [("a", 1)]

    run(scenario())


def test_what_the_ledger_has_open_and_nobody_knows_of_is_taken_up() -> None:
    """The commit was answered by an error, or the notice of the end went to a process that died."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=8)
            await stage.compare()
            young = replace(job("young"), created_ms=NOW_MS + 300_000, deadline_ms=NOW_MS + 900_000)
            stage.ledger.open = [open_job("a", attempt=2), OpenJob(young, JobState.PENDING)]
            stage.clock.advance(Timing().stray_s)
            await stage.compare()
            assert [(d.job.id, d.attempt) for d in stage.e0.dispatches] == [("a", 3)]
            await stage.compare()  # the other one's clock is ahead
            assert stage.e0.jobs == ["a", "young"]
            stage.clock.advance_wall(300.0)
            await stage.tick()
            assert stage.failures == [("a", "timeout")]

    run(scenario())


def test_what_is_being_submitted_is_no_stray() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("a")))
            await settled()
            stage.ledger.open = [open_job("a", attempt=1)]
            stage.clock.advance(60.0)
            await stage.compare()
            await stage.compare()
            stage.ledger.committing.set()
            assert await submitting == [None]
            assert stage.e0.jobs == ["a"]
            assert stage.journal.fenced == []

    run(scenario())


def test_what_has_ended_by_the_ledger_is_dropped_and_its_engine_told() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("ended"), job("next"))
            stage.ledger.open = [OpenJob(job("next"), JobState.PENDING)]
            await stage.compare()
            assert stage.e0.forgotten == [("ended", 1)]
            assert stage.e0.jobs == ["ended", "next"]
            assert stage.jobs_at(Leased) == ["next"]

    run(scenario())


@pytest.mark.parametrize("skew_ms", [-300_000, 300_000])
def test_a_job_has_the_time_it_was_given_whatever_the_clock_of_its_ingress_says(skew_ms: int) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            skewed = replace(job("a"), created_ms=NOW_MS + skew_ms, deadline_ms=NOW_MS + skew_ms + 300_000)
            await stage.submit(skewed)
            stage.clock.advance_wall(299.0)
            await stage.tick()
            assert stage.failures == []
            stage.clock.advance_wall(2.0)
            await stage.tick()
            assert stage.failures == [("a", "timeout")]
            assert stage.ledger.jobs["a"].created_ms == NOW_MS

    run(scenario())


def test_a_silent_node_loses_its_jobs_and_a_pinned_one_fails() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("pinned", node=N0), job("free"))
            assert stage.e0.jobs == ["pinned", "free"]
            await stage.tick(OFFLINE_AFTER_S + 1)
            assert stage.failures == [("pinned", "node_disconnected")]
            assert stage.queued == ["free"]
            assert [(node.id, node.status) for node in await stage.scheduler.nodes()] == [(N0, "offline")]
            assert await stage.submit(job("again", node=N0)) == ["no_capacity"]

    run(scenario())


def test_a_lost_node_is_told_of_until_the_ledger_has_it() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.tick()
            stage.ledger.failing = DatabaseUnavailable("away")
            await stage.tick(OFFLINE_AFTER_S + 1)
            assert stage.ledger.happenings == []
            stage.ledger.failing = None
            await stage.tick()
            await stage.tick()
            (event,) = stage.ledger.happenings
            assert (event.type, event.data, event.account_id) == ("node.offline", {"id": N0}, None)

    run(scenario())


def test_nodes_that_end_with_the_system_are_missed_by_nobody() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.tick()
            assert await stage.scheduler.quiesce(0.1)
            await stage.tick(OFFLINE_AFTER_S + 1)
            assert stage.ledger.happenings == []

    run(scenario())


def test_a_pinned_job_does_not_outlive_its_node() -> None:
    """Whether it waits there, or has lost its engine before the node's silence was noticed."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("running", node=N0), job("waiting", node=N0))
            await stage.lost(E0)
            assert stage.failures == []
            await stage.tick(OFFLINE_AFTER_S + 1)
            assert stage.failures == [("running", "node_disconnected"), ("waiting", "node_disconnected")]

    run(scenario())


def test_nothing_waits_for_a_fence() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"), job("b", deadline_ms=0), job("c"))
            fence, gate = stage.journal.fence, asyncio.Event()

            async def slow(jobs: Sequence[JobAttempt]) -> list[Fenced]:
                await gate.wait()
                return await fence(jobs)

            stage.journal.fence = slow  # type: ignore[method-assign]
            await stage.lost(E0)
            async with asyncio.timeout(5):
                await stage.heartbeat(N1)
                await stage.tick()
            assert stage.failures == [("b", "timeout")]
            gate.set()
            await settled()
            assert stage.queued == ["a", "c"]

    run(scenario())


def test_a_job_that_its_engine_does_not_know_of_is_taken_back_in_time() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("known"), job("unknown"))
            running = [(JobId("known"), 1)]
            stage.clock.advance(ORDER_S)
            await stage.heartbeat(N0, E0, running=running)
            stage.clock.advance(1.0)
            # Old news: when the engine spoke, the order may still have been on its way.
            await stage.heartbeat(N0, E0, running=running, age_s=1.0)
            assert stage.journal.fenced == []
            await stage.heartbeat(N0, E0, running=running)
            assert stage.journal.fenced == [("unknown", 1)]
            # The next attempt has as much time again.
            stage.clock.advance(ORDER_S)
            await stage.heartbeat(N0, E0, running=running)
            assert [(d.job.id, d.attempt) for d in stage.e0.dispatches] == [
                ("known", 1),
                ("unknown", 1),
                ("unknown", 2),
            ]
            assert stage.jobs_at(Leased) == ["known", "unknown"]

    run(scenario())


def test_an_engine_that_knows_only_another_attempt_does_not_know_the_job() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            stage.clock.advance(ORDER_S + 1.0)
            await stage.heartbeat(N0, E0, running=[(JobId("a"), 7)])
            assert stage.journal.fenced == [("a", 1)]

    run(scenario())


def open_job(name: str, attempt: int = 1, node: NodeId | None = None) -> OpenJob:
    return OpenJob(job(name, node), JobState.PROCESSING if attempt else JobState.PENDING, attempt)


def test_after_a_restart_engines_keep_what_they_work_on() -> None:
    async def scenario() -> None:
        jobs = [open_job("mine"), open_job("stale", attempt=3), open_job("waiting", attempt=0)]
        async with Stage(open_jobs=jobs, existing=[E0]) as stage:
            assert await stage.submit(jobs[0].job) == [None]
            running = [("mine", 1), ("stale", 2), ("unknown", 1)]
            await stage.heartbeat(N0, E0, slots=8, running=running)
            assert stage.e0.forgotten == [("stale", 2), ("unknown", 1)]
            await stage.tick()
            assert stage.journal.fenced == [("stale", 3), ("waiting", 0)]
            assert [(d.job.id, d.attempt) for d in stage.e0.dispatches] == [("stale", 4), ("waiting", 1)]
            await stage.released(Released(JobId("mine"), 1))
            assert stage.jobs_at(Leased) == ["stale", "waiting"]

    run(scenario())


def test_a_job_that_ended_during_a_restart_holds_no_slot() -> None:
    """The Journal tells of its end before the node reports, which still takes it for running."""

    async def scenario() -> None:
        async with Stage(open_jobs=[open_job("a")], existing=[E0]) as stage:
            await stage.released(Released(JobId("a"), 1))
            await stage.heartbeat(N0, E0, slots=1, running=[(JobId("a"), 1)])
            assert stage.jobs_at(Leased) == []
            assert await stage.submit(job("b")) == [None]
            assert stage.e0.jobs == ["b"]

    run(scenario())


def test_after_a_restart_engines_are_waited_for_but_not_forever() -> None:
    async def scenario() -> None:
        async with Stage(open_jobs=[open_job("a")], existing=[E1]) as stage:
            await stage.heartbeat(N0)
            await stage.tick(SETTLE_S - 2)
            assert stage.journal.fenced == []
            assert await stage.submit(job("new")) == [None]
            await stage.heartbeat(N0)
            await stage.tick(3)
            assert stage.journal.fenced == [("a", 1)]
            assert stage.queued == ["a", "new"]

    run(scenario())


def test_a_deadline_comes_while_recovering() -> None:
    async def scenario() -> None:
        async with Stage(open_jobs=[open_job("a")], existing=[E0]) as stage:
            stage.clock.advance_wall(301.0)
            await stage.tick()
            assert stage.failures == [("a", "timeout")]
            assert stage.jobs_at(Recovering) == []

    run(scenario())


def test_draining_lets_what_runs_end_and_starts_nothing() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("running"), job("waiting"))
            draining = asyncio.create_task(stage.scheduler.quiesce(60.0))
            await settled()
            assert await stage.submit(job("late")) == ["no_capacity"]
            assert not draining.done()
            await stage.released(Released(JobId("running"), 1))
            assert await draining
            assert stage.e0.jobs == ["running"]
            assert stage.queued == ["waiting"]

    run(scenario())


def test_draining_does_not_wait_forever() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("running"))
            assert not await stage.scheduler.quiesce(0.001)

    run(scenario())


def test_an_order_that_was_given_before_is_not_queued_again() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            earlier = Accepted(JobId("first"), "m", 1)
            stage.ledger.earlier["second"] = earlier
            assert await stage.scheduler.submit([Submission(job("second"))]) == [earlier]
            await settled()
            assert (stage.e0.confirmed, stage.e0.forgotten) == ([], [("second", 1)])
            assert stage.ledger.placements == []

    run(scenario())


def test_what_the_ledger_refuses_is_not_queued_and_others_are() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.refused["dear"] = BudgetExceeded("no room")
            assert await stage.submit(job("dear"), job("cheap")) == ["budget_exceeded", None]
            assert (stage.e0.confirmed, stage.e0.forgotten) == ([("cheap", 1)], [("dear", 1)])
            assert [placed.job_id for placed in stage.ledger.placements] == ["cheap"]
            assert await stage.submit(job("next")) == [None]
            assert stage.e0.confirmed == [("cheap", 1), ("next", 1)]

    run(scenario())


def test_an_engine_begins_while_the_job_is_made_durable_and_is_told_when_it_is() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("a")))
            await settled()
            assert [(d.job.id, d.attempt, d.confirmed) for d in stage.e0.dispatches] == [("a", 1, False)]
            assert (stage.e0.confirmed, stage.ledger.placements) == ([], [])
            stage.ledger.committing.set()
            assert await submitting == [None]
            assert stage.e0.confirmed == [("a", 1)]
            assert [(placed.job_id, placed.attempt) for placed in stage.ledger.placements] == [("a", 1)]
            assert len(stage.e0.dispatches) == 1

    run(scenario())


def test_an_engine_knows_a_job_before_it_is_told_that_it_is_durable() -> None:
    """Calls to an actor may overtake each other."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.e0.listening.clear()
            assert await stage.submit(job("a")) == [None]
            assert stage.e0.confirmed == []
            stage.e0.listening.set()
            await settled()
            assert (stage.e0.jobs, stage.e0.confirmed) == (["a"], [("a", 1)])

    run(scenario())


def test_what_nobody_waits_for_is_stopped_at_the_next_report() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"))
            await stage.heartbeat(N0, E0, running=[("a", 1), ("a", 2), ("refused", 1)])
            assert stage.e0.forgotten == [("a", 2), ("refused", 1)]

    run(scenario())


def test_nothing_begins_before_its_turn() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("a"), job("b"))
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("c")))
            await settled()
            await stage.released(Released(JobId("a"), 1))
            assert stage.e0.jobs == ["a", "b"]
            stage.ledger.committing.set()
            await submitting

    run(scenario())


def test_what_cannot_be_made_durable_is_taken_from_its_engine() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.failing = DatabaseUnavailable("no database")
            with pytest.raises(DatabaseUnavailable):
                await stage.scheduler.submit([Submission(job("a"))])
            await settled()
            assert (stage.e0.confirmed, stage.e0.forgotten) == ([], [("a", 1)])
            assert await stage.scheduler.quiesce(1.0)

    run(scenario())


def test_a_job_that_had_only_begun_when_its_engine_was_lost_is_placed_once_it_is_durable() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("a")))
            await settled()
            await stage.lost(E0)
            await stage.heartbeat(N0, E1)
            assert (stage.e1.jobs, stage.journal.fenced) == ([], [])
            stage.ledger.committing.set()
            assert await submitting == [None]
            assert [(d.job.id, d.attempt, d.epoch, d.confirmed) for d in stage.e1.dispatches] == [("a", 2, 1, True)]
            assert (stage.e0.confirmed, stage.journal.fenced) == ([], [])

    run(scenario())


@pytest.mark.parametrize("given_up", [True, False], ids=["the first is given up", "both are answered"])
def test_a_job_that_is_submitted_twice_at_once_is_run_once(given_up: bool) -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            calls = [asyncio.create_task(stage.submit(job("a"))) for _ in range(2)]
            await settled()
            if given_up:
                calls.pop(0).cancel()
                await settled()
            stage.ledger.committing.set()
            assert await asyncio.gather(*calls) == [[None]] * len(calls)
            assert (stage.e0.jobs, stage.e0.confirmed, stage.e0.aborted) == (["a"], [("a", 1)], [])
            assert stage.jobs_at(Leased) == ["a"]

    run(scenario())


def test_a_job_that_is_cancelled_while_it_is_made_durable_is_not_run() -> None:
    """Another request with the same idempotency key may know of it before its own submission is answered."""

    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            stage.ledger.committing.clear()
            submitting = asyncio.create_task(stage.submit(job("a")))
            await settled()
            await stage.scheduler.cancel(JobId("a"))
            stage.ledger.committing.set()
            assert await submitting == [None]
            assert stage.failures == [("a", "cancelled")]
            assert stage.e0.aborted == [("a", 1)]
            assert (stage.e0.jobs, stage.jobs_at(object)) == (["a"], [])

    run(scenario())


def test_an_engine_that_fails_jobs_is_given_fewer_until_that_is_a_minute_ago() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            for _ in range(2):
                await stage.heartbeat(N0, E0)
                await stage.heartbeat(N1, E1)
            await stage.submit(job("a"))
            assert stage.e0.jobs == ["a"]
            await stage.released(Released(JobId("a"), 1, failed=True))
            await stage.submit(job("b"), job("c"))
            assert (stage.e0.jobs, stage.e1.jobs) == (["a"], ["b", "c"])
            await stage.released(Released(JobId("b"), 1), Released(JobId("c"), 1))
            for _ in range(10):
                await stage.tick(6.0)
                await stage.heartbeat(N0, E0)
                await stage.heartbeat(N1, E1)
            await stage.tick()
            await stage.submit(job("d"))
            assert stage.e0.jobs == ["a", "d"]

    run(scenario())


def test_a_new_scheduler_confirms_what_an_engine_has_gone_on_with() -> None:
    async def scenario() -> None:
        durable = OpenJob(job("a"), JobState.PENDING)
        async with Stage(open_jobs=[durable], existing=[E0]) as stage:
            await stage.heartbeat(N0, E0, running=[("a", 1), ("refused", 1)])
            assert (stage.e0.confirmed, stage.e0.forgotten) == ([("a", 1)], [("refused", 1)])

    run(scenario())


def test_a_budget_without_room_is_told_before_a_lack_of_capacity() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=0)
            assert await stage.submit(*(job(name) for name in "abc")) == [None] * 3
            stage.ledger.refused["dear"] = BudgetExceeded("no room")
            assert await stage.submit(job("dear"), job("cheap")) == ["budget_exceeded", "no_capacity"]

    run(scenario())


def test_what_does_not_fit_the_models_context_is_refused_before_its_node_is_looked_at() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0)
            await stage.heartbeat(N0, E0)
            fits = replace(job("fits"), prompt_tokens=118)
            too_long = replace(job("too long", NodeId("unknown")), prompt_tokens=119)
            uncounted = replace(job("uncounted"), sampling=Sampling(max_tokens=129))
            assert await stage.submit(too_long, fits, uncounted) == [
                "context_length_exceeded",
                None,
                "context_length_exceeded",
            ]

    run(scenario())


def test_what_there_ought_to_be_is_planned_once_a_tick_however_many_nodes_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plan looks at every machine. At once it is made for a machine that joins, and where an engine was lost."""

    async def scenario() -> None:
        plans = []
        plan = Fleet.plan

        def counted(self: Fleet, now_s: float, waiting: Callable[[str], int]) -> None:
            plans.append(now_s)
            plan(self, now_s, waiting)

        monkeypatch.setattr(Fleet, "plan", counted)
        async with Stage([M, replace(M, id="big", cpus=999.0)]) as stage:
            await stage.heartbeat(N0, E0)
            await stage.heartbeat(N1)
            await stage.tick()
            plans.clear()
            for _ in range(10):
                for node, engines in ((N0, (EngineReport(E0, "m", N0, "ready"),)), (N1, ())):
                    await stage.scheduler.report(NodeReport(node, Hardware("host", 1.0, 1 << 30), engines))
            assert plans == []
            await stage.tick()
            assert len(plans) == 1
            await stage.scheduler.report(NodeReport(N0, Hardware("host", 1.0, 1 << 30)))
            assert len(plans) == 2

    run(scenario())


def test_a_waiting_job_is_explained_and_a_placed_one_keeps_what_was_considered() -> None:
    async def scenario() -> None:
        async with Stage([replace(M, replicas=Replicas(2, 2))]) as stage:
            await stage.heartbeat(N0, E0, slots=1)
            await stage.submit(job("a"), job("b"))
            waiting = await stage.scheduler.explain(JobId("b"))
            assert waiting is not None
            assert waiting.stage == "waiting"
            assert [(v.engine_id, v.ruled_out_by) for v in waiting.verdicts if v.node_id == N0] == [(E0, "no room")]
            assert waiting.model is not None and (waiting.model.id, waiting.model.queued) == ("m", 1)
            placed_one = await stage.scheduler.explain(JobId("a"))
            assert placed_one is not None
            assert (placed_one.stage, placed_one.turn, placed_one.verdicts) == ("with an engine", None, ())
            assert await stage.scheduler.explain(JobId("nobody's")) is None
            (placed,) = stage.ledger.placements
            assert [(v.engine_id, v.ruled_out_by) for v in placed.considered] == [(E0, None)]

    run(scenario())


def test_a_node_being_drained_gets_no_more_jobs_and_stops_its_engine_when_it_is_idle() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0)
            await stage.heartbeat(N1)
            await stage.submit(job("a"))
            draining = asyncio.create_task(stage.scheduler.drain_node(N0, drains=True))
            await settled()
            assert await stage.heartbeat(N0, E0, running=[("a", 1)]) == [EngineOrder(E0, "m")]
            await settled()
            assert not draining.done()  # the node has not said that it knows
            await stage.heartbeat(N0, E0, running=[("a", 1)], draining=True)
            await draining
            assert await stage.heartbeat(N1) == [EngineOrder(E1, "m")]
            assert await stage.submit(job("b"), job("pinned", N0)) == [None, "no_capacity"]
            await stage.heartbeat(N1, E1)
            assert (stage.e0.jobs, stage.e1.jobs) == (["a"], ["b"])
            await stage.released(Released(JobId("a"), 1))
            await stage.tick()
            assert await stage.heartbeat(N0, E0) == []

    run(scenario())


def test_a_pinned_job_whose_node_will_not_have_the_model_any_more_fails() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            await stage.heartbeat(N0, E0, slots=0)
            await stage.submit(job("pinned", N0))
            draining = asyncio.create_task(stage.scheduler.drain_node(N0, drains=True))
            await settled()
            await stage.heartbeat(N0, E0, slots=0, draining=True)
            await draining
            for _ in range(2):
                await stage.heartbeat(N0, E0, slots=0)
                await stage.tick((GRACE_S - 1) / 2)
            assert stage.failures == []
            for _ in range(2):
                await stage.heartbeat(N0, E0, slots=0)
                await stage.tick((GRACE_S + 1) / 2)
            assert stage.failures == [("pinned", "no_capacity")]

    run(scenario())


def test_a_scheduler_whose_place_another_has_taken_fails_nothing() -> None:
    """Nodes report to the other one: their silence is no death."""

    async def scenario() -> None:
        async with Stage(hold_s=0.001) as stage:
            await stage.heartbeat(N0, E0)
            await stage.submit(job("a"), job("b"), job("c"))
            await stage.scheduler.role.holding.taken()
            stage.ledger.roles.hold(SCHEDULER_ROLE, "another", begins=True)
            await stage.scheduler.role.holding.taken()
            for _ in range(20):
                stage.clock.advance(5.0)
                stage.scheduler.ticking.hasten()
                await settled()
            assert (stage.failures, stage.journal.fenced) == ([], [])

    run(scenario())


def test_a_node_agent_whose_place_another_has_taken_is_told_so() -> None:
    async def scenario() -> None:
        async with Stage() as stage:
            before = NodeReport(N0, Hardware("host", 1.0, 1 << 30), (), agent="before")
            after = replace(before, agent="after")
            assert not (await stage.scheduler.report(before)).superseded
            assert not (await stage.scheduler.report(replace(after, begins=True))).superseded
            assert not (await stage.scheduler.report(after)).superseded
            assert (await stage.scheduler.report(before)) == NodeOrders(superseded=True)
            assert not (await stage.scheduler.report(replace(before, node_id=N1))).superseded

    run(scenario())


def test_what_models_take_of_gpus_is_found_out_before_they_are_started() -> None:
    on_gpu, on_cpu = replace(M, gpus=1), replace(M, id="cpu")
    asked: list[str] = []

    def measure(model: Model) -> Demand:
        asked.append(model.id)
        return Demand(90 << 30)

    async def scenario() -> None:
        async with Stage((on_gpu, on_cpu), measure=measure) as stage:
            await until(lambda: asked == ["m"], "it was asked for, of the model on a GPU alone")
            hardware = Hardware("host", 4.0, 1 << 30, 1, (Gpu("H100", 80 << 30),))
            stage.cluster.join(N0, hardware)
            await stage.survey()
            await stage.scheduler.report(NodeReport(N0, hardware))
            for _ in range(2):
                await stage.survey()
            assert await stage.scheduler.has_looked_for_room()
            views = {view.id: view for view in await stage.scheduler.models()}
            assert views["m"].message.startswith("needs 90 GiB of GPU memory for its weights, on 1 GPUs")
            assert (views["m"].fits, views["cpu"].fits) == (False, True)

    run(scenario())


@pytest.mark.parametrize("takes_too_long", [False, True])
def test_a_model_of_which_it_cannot_be_found_out_is_started(takes_too_long: bool) -> None:
    may_end = Event()

    def measure(model: Model) -> Demand | None:
        if takes_too_long:
            may_end.wait()
            return None
        raise OSError("the hub is away")

    async def scenario() -> None:
        async with Stage((replace(M, gpus=1),), measure=measure, measure_s=0.02) as stage:
            hardware = Hardware("host", 4.0, 1 << 30, 1)
            stage.cluster.join(N0, hardware)
            await stage.scheduler.report(NodeReport(N0, hardware))
            await until(lambda: bool(stage.scheduler.fleet.orders(N0).engines), "its engine is ordered")
        may_end.set()

    try:
        run(scenario())
    finally:
        may_end.set()
