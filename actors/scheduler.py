"""Which job runs where and when. What is to be done is decided in `cluster/leases.py`; this carries it out."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence, Set
from typing import TYPE_CHECKING

from actors.wire.calls import tell
from actors.wire.every import Every
from cluster import acceptance
from cluster.actions import Abort, Action, Attach, Confirm, Fail, Fence, Order, Record
from cluster.catalogue import Catalogue
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import InfernetError, JobCancelled, NoCapacity
from cluster.fleet.fleet import Fleet
from cluster.ids import EngineId, JobId, NodeId
from cluster.leases import Leases
from cluster.messages.machines import ModelView, NodeOrders, NodeReport, NodeView
from cluster.messages.work import Accepted, Dispatch, Failure, Job, JobAttempt, Released, Submission, Verdict
from cluster.places import Queued
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.journal import Journal
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)


class Scheduler:
    """Sole owner of queue and leases. What it loses with its process it has again from the Ledger and the nodes."""

    def __init__(
        self,
        catalogue: Catalogue,
        ledger: "Ledger",
        journal: "Journal",
        engine: Callable[[EngineId], "Engine"],
        known_engines: Callable[[], Sequence[EngineId]],
        clock: Clock = SYSTEM_CLOCK,
        timing: Timing = Timing(),
    ) -> None:
        self._catalogue = catalogue
        self._ledger = ledger
        self._journal = journal
        self._engine = engine
        self._known_engines = known_engines
        self._clock = clock
        self._timing = timing
        self.fleet = Fleet(catalogue, (), clock.monotonic_s(), timing)
        self.leases = Leases(self.fleet, timing)
        # The orders that are on their way for jobs which are not confirmed yet.
        self._orders: dict[JobId, asyncio.Task[None]] = {}
        self._idle = asyncio.Event()
        self.ticking = Every(timing.tick_s, self._tick, "a tick")

    async def start(self) -> None:
        """Take up every job that has not ended, then keep time."""
        existing = await asyncio.to_thread(self._known_engines)
        open_jobs = await self._ledger.open_jobs()
        self.fleet = Fleet(self._catalogue, existing, self._clock.monotonic_s(), self._timing)
        self.leases = Leases(self.fleet, self._timing, open_jobs)
        self.ticking.start()

    async def stop(self) -> None:
        self.ticking.stop()

    # The ingress asks ---------------------------------------------------------------------------------------------

    async def submit(self, submissions: Sequence[Submission]) -> list[Accepted | InfernetError]:
        """Accept each job, durably, or say why not. Repeating a call changes nothing."""
        refusals = await self._refusals(submissions)
        wanted = [submission for submission in submissions if submission.job.id not in refusals]
        begun = self.leases.submitted(wanted, *self._now())
        self._carry_out(begun.orders)
        try:
            await asyncio.sleep(0)  # orders leave first: the first token waits for them, and nobody yet for the Ledger
            created = await self._ledger.create(wanted, begun.placed)
            answers = dict(zip((s.job.id for s in wanted), created, strict=True))
            self._carry_out(self.leases.confirmed([s.job for s in wanted if _is_created(s.job, answers[s.job.id])]))
        finally:
            self._carry_out(self.leases.answered(wanted))
            for placed in begun.placed:
                self._orders.pop(placed.job_id, None)
        self._carry_out(self.leases.dispatched(*self._now()))
        return [refusals.get(s.job.id) or answers[s.job.id] for s in submissions]

    async def explain(self, job_id: JobId) -> list[Verdict] | None:
        """What is made of every engine for this job now; None when it does not wait for one."""
        match self.leases.places.get(job_id):
            case Queued(lane):
                return list(self.fleet.ranking(lane.model).considered(lane.node_id))
        return None

    async def cancel(self, job_id: JobId) -> None:
        """End a job as cancelled; its engine stops. Returns once that is durable; a job that has ended stays so."""
        if job_id in self.leases.places:
            waiting = self.leases.places.waiting(job_id)
            self._carry_out(self.leases.cancelled(job_id, *self._now()))
            cancelled = JobCancelled("The job was cancelled")
            made = (waiting.attempt, waiting.resume) if waiting else ()
            await self._journal.fail([Failure(job_id, cancelled.code, cancelled.message, *made)])

    async def models(self) -> list[ModelView]:
        queued = {model.id: self.leases.places.queue.waiting_for(model.id) for model in self._catalogue.models}
        return self.fleet.model_views(queued)

    async def nodes(self) -> list[NodeView]:
        return self.fleet.node_views()

    async def drain_node(self, node_id: NodeId) -> None:
        """Place nothing more on this node. Its engines end what they have, then stop; others start elsewhere."""
        self.fleet.drain(node_id)
        self.fleet.plan(self._clock.monotonic_s())

    async def quiesce(self, within_s: float) -> bool:
        """Take and place no more jobs, and wait for those that run. True when none is left; the rest stays queued."""
        self.leases.quiescent = True
        try:
            async with asyncio.timeout(within_s):
                while not self.leases.idle:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _refusals(self, submissions: Sequence[Submission]) -> dict[JobId, InfernetError]:
        """Why jobs are not accepted, by their ids. A budget without room comes before a lack of capacity."""
        jobs = [submission.job for submission in submissions if submission.job.id not in self.leases.places]
        refusals = acceptance.refusals(jobs, self._catalogue, self.leases, self._clock.monotonic_s())
        for_capacity = [s for s in submissions if isinstance(refusals.get(s.job.id), NoCapacity)]
        if for_capacity:
            refusals |= await self._ledger.over_budget(for_capacity)
        return refusals

    # Nodes, engines and the Journal tell --------------------------------------------------------------------------

    async def report(self, report: NodeReport) -> NodeOrders:
        """A node's heartbeat. Returns all that it is to do."""
        self._carry_out(self.leases.reported(report, *self._now()))
        return self.fleet.orders(report.node_id)

    async def released(self, released: Sequence[Released]) -> None:
        """These attempts have ended their jobs, durably."""
        self._carry_out(self.leases.released(released, *self._now()))

    async def engine_lost(self, engine_id: EngineId) -> None:
        """This engine is dead; what it worked on goes on elsewhere."""
        logger.warning("engine %s is lost", engine_id)
        self._carry_out(self.leases.engine_lost(engine_id, self._clock.monotonic_s()))

    async def _tick(self) -> None:
        self._carry_out(self.leases.tick(*self._now()))

    def _now(self) -> tuple[float, int]:
        return self._clock.monotonic_s(), self._clock.wall_ms()

    # What is to be done -------------------------------------------------------------------------------------------

    def _carry_out(self, actions: Iterable[Action]) -> None:
        """Do all this in the background: no heartbeat and no deadline may wait for another actor."""
        for action in actions:
            match action:
                case Order(engine_id, dispatches):
                    self._order(engine_id, dispatches)
                case Confirm(engine_id, attempts):
                    self._confirm(engine_id, attempts)
                case Abort(engine_id, attempts):
                    tell(self._engine(engine_id).abort(attempts), "engine.abort")
                case Attach(engine_ids):
                    tell(self._journal.attach(engine_ids), "journal.attach")
                case Fence(attempts):
                    tell(self._fence(attempts), "journal.fence")
                case Fail(failures):
                    tell(self._journal.fail(failures), "journal.fail")
                case Record(placed):
                    tell(self._ledger.placed(placed), "ledger.placed")
        if self.leases.idle:
            self._idle.set()

    def _order(self, engine_id: EngineId, dispatches: Sequence[Dispatch]) -> None:
        order = tell(self._send(engine_id, dispatches), f"dispatch to {engine_id}")
        self._orders |= {dispatch.job.id: order for dispatch in dispatches if not dispatch.confirmed}

    async def _send(self, engine_id: EngineId, dispatches: Sequence[Dispatch]) -> None:
        try:
            await self._engine(engine_id).generate(dispatches)
        except Exception:
            await self.engine_lost(engine_id)
            raise

    def _confirm(self, engine_id: EngineId, attempts: Sequence[JobAttempt]) -> None:
        orders = {self._orders[job_id] for job_id, _ in attempts if job_id in self._orders}
        tell(self._confirm_after(orders, engine_id, attempts), "engine.confirm")

    async def _confirm_after(
        self, orders: Set[asyncio.Task[None]], engine_id: EngineId, attempts: Sequence[JobAttempt]
    ) -> None:
        """Calls to an actor may overtake each other, and an engine can only confirm what it knows."""
        if orders:
            await asyncio.wait(orders)
        await self._engine(engine_id).confirm(attempts)

    async def _fence(self, attempts: Sequence[JobAttempt]) -> None:
        try:
            fences = await self._journal.fence(attempts)
        except Exception:
            self.leases.not_fenced(attempts)
            raise
        self._carry_out(self.leases.fenced(attempts, fences, *self._now()))


def _is_created(job: Job, answer: Accepted | InfernetError) -> bool:
    """Whether the answer is of this job, and not of one that was submitted before it."""
    return isinstance(answer, Accepted) and answer.id == job.id
