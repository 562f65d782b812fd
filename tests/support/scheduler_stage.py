"""A Scheduler among plain actors: what tests of it start from. Time is given to its tick."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from actors.scheduler import Scheduler
from actors.wire.calls import Gone
from cluster.catalogue import Catalogue, Model
from cluster.errors import InfernetError
from cluster.fleet.gpu_memory import Demand
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.liveness.roles import Roles
from cluster.messages import webhooks
from cluster.messages.alarms import Known
from cluster.messages.machines import EngineOrder, EngineReport, Hardware, NodeReport
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
from tests.support.plain_system import settled
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
