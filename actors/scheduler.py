"""Which job runs where and when: the queue, the leases, the deadlines and the fleet."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from actors.wire.calls import tell
from cluster import acceptance, clock, placement
from cluster.catalogue import Catalogue
from cluster.deadlines import Deadlines
from cluster.errors import EngineFailed, InfernetError, JobCancelled, JobTimeout, NoCapacity, NodeDisconnected
from cluster.fleet.fleet import Change, Fleet
from cluster.fleet.replica import Replica
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.machines import EngineReport, ModelView, NodeOrders, NodeReport, NodeView
from cluster.messages.work import (
    Accepted,
    Dispatch,
    Failure,
    Fenced,
    Job,
    JobAttempt,
    OpenJob,
    Placed,
    Released,
    Submission,
    Verdict,
)
from cluster.queue import JobQueue, LaneId, Waiting

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.journal import Journal
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)

TICK_S = 0.5
MAX_ATTEMPTS = 5
# Of a large fleet the best engines tell enough of why one was chosen.
MOST_CONSIDERED = 16
DISPATCH_S = 3.0
NO_CAPACITY_GRACE_S = 10.0


class _Lease(Struct, frozen=True):
    """An engine's right to work on a job, until it is released, fenced or the deadline comes."""

    waiting: Waiting
    engine_id: EngineId
    since_s: float


class _Begun(NamedTuple):
    """Jobs that have a lease before they are durable: where, and the orders to their engines that are under way."""

    placed: Mapping[JobId, Placed]
    orders: Mapping[EngineId, asyncio.Task[None]]


class Scheduler:
    """Sole owner of queue and leases. What it loses with its process it has again from the Ledger and the nodes."""

    def __init__(
        self,
        catalogue: Catalogue,
        ledger: "Ledger",
        journal: "Journal",
        engine: Callable[[EngineId], "Engine"],
        known_engines: Callable[[], Sequence[EngineId]],
    ) -> None:
        self._catalogue = catalogue
        self._ledger = ledger
        self._journal = journal
        self._engine = engine
        self._known_engines = known_engines
        self._fleet = Fleet(catalogue, (), clock.monotonic_s())
        self._queue = JobQueue()
        self._leases: dict[str, _Lease] = {}
        # Jobs that are not durable yet and have a lease. If that is lost, they are simply placed when they are durable.
        self._begun: set[str] = set()
        self._deadlines = Deadlines()
        # Jobs from before a restart: an engine may still work on them, which the nodes' reports will tell.
        self._recovering: dict[str, OpenJob] = {}
        # Jobs that lost their engine, until the Journal has shut out the attempts made.
        self._lost: dict[str, Waiting] = {}
        self._fencing: asyncio.Task[None] | None = None
        self._stranded_since_s: dict[LaneId, float] = {}
        self._draining = False
        self._idle = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up every job that has not ended, then keep time."""
        existing = await asyncio.to_thread(self._known_engines)
        self._fleet = Fleet(self._catalogue, existing, clock.monotonic_s())
        for open_job in await self._ledger.open_jobs():
            self._recovering[open_job.job.id] = open_job
            self._keep_deadline(open_job.job)
        self._ticking = asyncio.create_task(self._tick_forever())

    async def stop(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()

    # The ingress asks ---------------------------------------------------------------------------------------------

    async def submit(self, submissions: Sequence[Submission]) -> list[Accepted | InfernetError]:
        """Accept each job, durably, or say why not. Repeating a call changes nothing."""
        refusals = await self._refusals(submissions)
        wanted = [submission for submission in submissions if submission.job.id not in refusals]
        begun = self._begin(wanted)
        try:
            await asyncio.sleep(0)  # orders leave first: the first token waits for them, and nobody yet for the Ledger
            created = await self._ledger.create(wanted, list(begun.placed.values()))
            answers = dict(zip((s.job.id for s in wanted), created, strict=True))
            self._confirm([s.job for s in wanted if _is_created(s.job, answers[s.job.id])], begun)
        finally:
            self._withdraw(wanted)
        self._dispatch()
        return [refusals.get(s.job.id) or answers[s.job.id] for s in submissions]

    async def explain(self, job_id: JobId) -> list[Verdict] | None:
        """What is made of every engine for this job now; None when it does not wait for one."""
        waiting = self._queue.waiting(job_id)
        if waiting is None:
            return None
        return list(self._fleet.ranking(waiting.job.model).considered(waiting.job.node_id))

    async def cancel(self, job_id: JobId) -> None:
        """End a job as cancelled; its engine stops. Returns once that is durable; a job that has ended stays so."""
        if self._take_away(job_id):
            cancelled = JobCancelled("The job was cancelled")
            await self._journal.fail([Failure(job_id, cancelled.code, cancelled.message)])

    async def models(self) -> list[ModelView]:
        queued = {model.id: self._queue.waiting_for(model.id) for model in self._catalogue.models}
        return self._fleet.model_views(queued)

    async def nodes(self) -> list[NodeView]:
        return self._fleet.node_views()

    async def drain_node(self, node_id: NodeId) -> None:
        """Place nothing more on this node. Its engines end what they have, then stop; others start elsewhere."""
        self._fleet.drain(node_id)
        self._fleet.plan(clock.monotonic_s())

    # Nodes, engines and the Journal tell ---------------------------------------------------------------------------

    async def report(self, report: NodeReport) -> NodeOrders:
        """A node's heartbeat. Returns all that it is to do."""
        now_s = clock.monotonic_s()
        change = self._fleet.report(report, now_s, clock.wall_ms())
        self._welcome(change)
        self._miss_jobs(report.engines, now_s)
        self._abort_strays(report.engines)
        self._lose(change.lost)
        self._fleet.plan(now_s)
        self._dispatch()
        return self._fleet.orders(report.node_id)

    async def released(self, released: Sequence[Released]) -> None:
        """These attempts have ended their jobs, durably."""
        for done in released:
            lease = self._leases.get(done.job_id)
            if lease is not None and lease.waiting.attempt == done.attempt:
                self._release(done.job_id)
            # It may have been taken from its engine meanwhile.
            self._queue.remove(done.job_id)
            self._lost.pop(done.job_id, None)
            self._recovering.pop(done.job_id, None)
        self._dispatch()

    async def engine_lost(self, engine_id: EngineId) -> None:
        """This engine is dead; what it worked on goes on elsewhere."""
        self._fleet.never_adopt(engine_id)
        self._lose([engine_id])
        # At once: in between, it would look as if nothing could serve the model.
        self._fleet.plan(clock.monotonic_s())

    async def drain(self, within_s: float) -> bool:
        """Take and place no more jobs, and wait for those that run. True when none is left; the rest stays queued."""
        self._draining = True
        try:
            async with asyncio.timeout(within_s):
                while self._leases:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    # Time ---------------------------------------------------------------------------------------------------------

    async def _tick_forever(self) -> None:
        while True:
            try:
                self._tick(clock.monotonic_s(), clock.wall_ms())
            except Exception:
                logger.exception("a tick failed")
            await asyncio.sleep(TICK_S)

    def _tick(self, now_s: float, now_ms: int) -> None:
        self._lose(self._fleet.expire(now_s).lost)
        self._fail_overdue(now_ms)
        self._fail_disconnected()
        self._recover_unclaimed(now_s)
        self._requeue_lost()
        self._fleet.plan(now_s)
        self._fail_without_room(now_s)
        self._fail_stranded(now_s)
        self._dispatch()

    def _keep_deadline(self, job: Job) -> None:
        self._deadlines.keep(job.id, job.deadline_ms)

    def _fail_overdue(self, now_ms: int) -> None:
        overdue = [job_id for job_id in self._deadlines.passed(now_ms) if self._take_away(job_id)]
        self._fail(overdue, JobTimeout("The job did not end in time"))

    def _fail_disconnected(self) -> None:
        """A pinned job does not outlive its node."""
        for lane, node_id in self._queue.pinned_lanes():
            if self._fleet.knows_node(node_id) and not self._fleet.online(node_id):
                self._fail_lane(lane, _disconnected(node_id))

    def _fail_without_room(self, now_s: float) -> None:
        for model in self._fleet.without_room(now_s, NO_CAPACITY_GRACE_S):
            if not self._fleet.serves(model):
                for lane in [lane for lane in self._queue.lanes() if lane.model == model]:
                    self._fail_lane(lane, acceptance.no_capacity(model))

    def _fail_stranded(self, now_s: float) -> None:
        """A pinned job does not wait for an engine that its node is not going to have."""
        stranded = [
            lane
            for lane, node_id in self._queue.pinned_lanes()
            if self._fleet.online(node_id) and not self._fleet.has_replica(lane.model, node_id)
        ]
        self._stranded_since_s = {lane: self._stranded_since_s.get(lane, now_s) for lane in stranded}
        for lane, since_s in self._stranded_since_s.items():
            if now_s - since_s > NO_CAPACITY_GRACE_S:
                self._fail_lane(lane, acceptance.no_capacity(lane.model))

    # Placing ------------------------------------------------------------------------------------------------------

    async def _refusals(self, submissions: Sequence[Submission]) -> dict[JobId, InfernetError]:
        """Why jobs are not accepted, by their ids. A budget without room comes before a lack of capacity."""
        refusals: dict[JobId, InfernetError] = {}
        ahead: dict[str, int] = defaultdict(int)
        for job in (submission.job for submission in submissions):
            if job.id in self._queue or self._holds(job.id):
                continue
            refusal = self._refusal(job, ahead[job.model])
            if refusal is None:
                ahead[job.model] += 1
            else:
                refusals[job.id] = refusal
        for_capacity = [s for s in submissions if isinstance(refusals.get(s.job.id), NoCapacity)]
        if for_capacity:
            refusals |= await self._ledger.over_budget(for_capacity)
        return refusals

    def _refusal(self, job: Job, ahead: int) -> InfernetError | None:
        """Why this job is not accepted, after `ahead` others of its model in the same call."""
        if misfit := acceptance.misfit(job, self._catalogue, self._fleet):
            return misfit
        if self._draining:
            return NoCapacity("The network is shutting down")
        waiting = self._queue.waiting_for(job.model) + ahead
        return acceptance.lack_of_capacity(job, self._catalogue, self._fleet, waiting, clock.monotonic_s())

    def _begin(self, submissions: Sequence[Submission]) -> _Begun:
        """Have engines begin on jobs before they are durable, as far as they would be placed at once.

        An engine keeps to itself what it generates of such a job until it is confirmed.
        """
        placed: dict[JobId, Placed] = {}
        orders: dict[EngineId, list[Dispatch]] = defaultdict(list)
        for submission in submissions:
            job, lane = submission.job, LaneId(submission.job.model, submission.job.node_id)
            if self._draining or self._holds(job.id) or self._queue.waits(lane):
                continue
            if (replica := self._best(lane)) is not None:
                placed[job.id] = self._place(Waiting(job), lane, replica)
                orders[replica.id].append(_early(submission, placed[job.id].attempt))
        self._begun |= placed.keys()
        return _Begun(placed, self._send_all(orders))

    def _confirm(self, jobs: Sequence[Job], begun: _Begun) -> None:
        """These jobs are durable: what has begun may be told, and what has not waits for its turn."""
        attempts: dict[EngineId, list[JobAttempt]] = defaultdict(list)
        for job in jobs:
            self._keep_deadline(job)
            placed = begun.placed.get(job.id)
            if placed is not None and job.id in self._begun:
                self._begun.remove(job.id)
                attempts[placed.engine_id].append((job.id, placed.attempt))
            elif not self._holds(job.id):
                self._queue.push(Waiting(job, placed.attempt + 1 if placed else 1))
        for engine_id, confirmed in attempts.items():
            tell(self._confirm_after(begun.orders[engine_id], engine_id, confirmed), "engine.confirm")

    async def _confirm_after(self, order: asyncio.Task[None], engine_id: EngineId, jobs: Sequence[JobAttempt]) -> None:
        """Calls to an actor may overtake each other, and an engine can only confirm what it knows."""
        await order
        await self._engine(engine_id).confirm(jobs)

    def _withdraw(self, submissions: Sequence[Submission]) -> None:
        """What has begun of these and is not confirmed has been refused, or could not be made durable."""
        for job in (submission.job for submission in submissions):
            if job.id in self._begun:
                self._begun.remove(job.id)
                self._take_away(job.id)

    def _dispatch(self) -> None:
        """Give every job that has a place to its engine."""
        if self._draining:
            return
        orders: dict[EngineId, list[Dispatch]] = defaultdict(list)
        placed: list[Placed] = []
        for lane in self._queue.lanes():
            while (replica := self._best(lane)) is not None and (waiting := self._queue.pop(lane)) is not None:
                placed.append(self._place(waiting, lane, replica))
                orders[replica.id].append(Dispatch(waiting.job, waiting.attempt, waiting.resume))
        self._send_all(orders)
        if placed:
            tell(self._ledger.placed(placed), "ledger.placed")

    def _best(self, lane: LaneId) -> Replica | None:
        """The engine that the next job of this lane goes to; None when none can take it now."""
        best = self._fleet.ranking(lane.model).best(lane.node_id)
        return self._fleet.replica(best.engine_id) if best is not None else None

    def _place(self, waiting: Waiting, lane: LaneId, replica: Replica) -> Placed:
        """Lease a job to this engine. Returns the record of it, with what was considered."""
        considered = self._fleet.ranking(lane.model).considered(lane.node_id, MOST_CONSIDERED)
        self._lease(waiting, replica)
        return Placed(waiting.job.id, replica.node_id, replica.id, waiting.attempt, clock.wall_ms(), considered)

    def _lease(self, waiting: Waiting, replica: Replica) -> None:
        self._leases[waiting.job.id] = _Lease(waiting, replica.id, clock.monotonic_s())
        replica.take(waiting.job.id, placement.estimate_tokens(waiting.job))

    def _send_all(self, orders: Mapping[EngineId, Sequence[Dispatch]]) -> dict[EngineId, asyncio.Task[None]]:
        return {
            engine_id: tell(self._send(engine_id, dispatches), f"dispatch to {engine_id}")
            for engine_id, dispatches in orders.items()
        }

    async def _send(self, engine_id: EngineId, dispatches: Sequence[Dispatch]) -> None:
        try:
            await self._engine(engine_id).generate(dispatches)
        except Exception:
            await self.engine_lost(engine_id)
            raise

    # Losing and taking up again -----------------------------------------------------------------------------------

    def _welcome(self, change: Change) -> None:
        """Have new engines read, and give back to each the jobs that it already works on."""
        if not change.ready:
            return
        tell(self._journal.attach([engine.id for engine in change.ready]), "journal.attach")
        for engine in change.ready:
            claimed = [job for job in engine.running if self._claim(engine.id, job)]
            if claimed:
                # The Scheduler before this one may have died before it did.
                tell(self._engine(engine.id).confirm(claimed), "engine.confirm")

    def _claim(self, engine_id: EngineId, running: JobAttempt) -> bool:
        """Lease a job from before a restart to the engine that has gone on with it."""
        job_id, attempt = running
        open_job = self._recovering.get(job_id)
        replica = self._fleet.replica(engine_id)
        if open_job is None or replica is None or attempt < open_job.attempt:
            return False
        del self._recovering[job_id]
        self._lease(Waiting(open_job.job, attempt), replica)
        return True

    def _miss_jobs(self, engines: Sequence[EngineReport], now_s: float) -> None:
        """Take back the leases of jobs that an engine should have known of when it spoke, and did not.

        Either the order or the notice of the end was lost, with the process that should have sent or received it.
        """
        for engine in engines:
            replica = self._fleet.replica(engine.id)
            heard_of_s = now_s - engine.age_s - DISPATCH_S
            running = set(engine.running)
            for job_id in list(replica.tokens_of) if replica else ():
                lease = self._leases[job_id]
                if lease.since_s < heard_of_s and (job_id, lease.waiting.attempt) not in running:
                    self._release(job_id)
                    self._take_up(lease.waiting)

    def _abort_strays(self, engines: Sequence[EngineReport]) -> None:
        """Have engines stop what nobody waits for: an order may arrive after the one that takes it back."""
        for engine in engines:
            strays = [attempt for attempt in engine.running if not self._wants(engine.id, *attempt)]
            if strays:
                tell(self._engine(engine.id).abort(strays), "engine.abort")

    def _wants(self, engine_id: EngineId, job_id: str, attempt: int) -> bool:
        """Whether this engine is to work on this attempt, or may have to be asked for its output."""
        lease = self._leases.get(job_id)
        if lease is None:
            recovering = self._recovering.get(job_id)
            return job_id in self._lost if recovering is None else attempt >= recovering.attempt
        return (lease.engine_id, lease.waiting.attempt) == (engine_id, attempt)

    def _recover_unclaimed(self, now_s: float) -> None:
        """Take up again the jobs from before a restart that no engine works on."""
        if self._recovering and self._fleet.settled(now_s):
            unclaimed, self._recovering = self._recovering, {}
            self._lost |= {job_id: Waiting(job.job, job.attempt) for job_id, job in unclaimed.items()}

    def _lose(self, engine_ids: Sequence[EngineId]) -> None:
        for engine_id in engine_ids:
            replica = self._fleet.drop(engine_id)
            if replica is not None:
                logger.warning("engine %s is lost with %d jobs", engine_id, len(replica.tokens_of))
                for job_id in replica.tokens_of:
                    self._take_up(self._leases.pop(job_id).waiting)
        self._requeue_lost()

    def _take_up(self, waiting: Waiting) -> None:
        """Have a job that lost its lease go on. One that had only begun is placed when it is durable."""
        job_id = waiting.job.id
        if job_id in self._begun:
            self._begun.remove(job_id)
        else:
            self._lost[job_id] = waiting

    def _requeue_lost(self) -> None:
        """In the background: no heartbeat and no deadline may wait for the Journal."""
        if self._lost and (self._fencing is None or self._fencing.done()):
            self._fencing = tell(self._fence_lost(), "taking up lost jobs")

    async def _fence_lost(self) -> None:
        """Shut out the attempts made, and let the jobs go on from what they have, before all that wait."""
        ending: set[str] = set()
        while attempts := [
            (JobId(job_id), waiting.attempt) for job_id, waiting in self._lost.items() if job_id not in ending
        ]:
            fences = await self._journal.fence(attempts)
            for fence in reversed(fences):
                # Absent when its deadline or its end came meanwhile.
                if (waiting := self._lost.pop(fence.job_id, None)) is not None and not fence.ended:
                    self._requeue(waiting.job, fence)
            # Left out of the answer. They are released when their ends are durable; the next tick asks again.
            ending |= {job_id for job_id, _ in attempts} - {fence.job_id for fence in fences}
        self._note_idle()
        self._dispatch()

    def _requeue(self, job: Job, fence: Fenced) -> None:
        if job.node_id is not None and not self._fleet.online(job.node_id):
            self._fail([job.id], _disconnected(job.node_id))
        elif fence.attempt > MAX_ATTEMPTS:
            self._fail([job.id], EngineFailed("The engines that ran this job failed"))
        else:
            self._queue.push(Waiting(job, fence.attempt, fence.output), first=True)

    def _holds(self, job_id: str) -> bool:
        return job_id in self._leases or job_id in self._lost or job_id in self._recovering

    def _take_away(self, job_id: str) -> bool:
        """End a job's waiting or its lease. False when it has neither, and so has ended."""
        if lease := self._leases.get(job_id):
            self._release(job_id)
            aborted = self._engine(lease.engine_id).abort([(JobId(job_id), lease.waiting.attempt)])
            tell(aborted, "engine.abort")
            return True
        held = (self._queue.remove(job_id), self._lost.pop(job_id, None), self._recovering.pop(job_id, None))
        return any(place is not None for place in held)

    def _release(self, job_id: str) -> None:
        lease = self._leases.pop(job_id)
        if replica := self._fleet.replica(lease.engine_id):
            replica.release(job_id)
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._leases:
            self._idle.set()

    def _fail_lane(self, lane: LaneId, error: InfernetError) -> None:
        self._fail(self._queue.clear(lane), error)

    def _fail(self, job_ids: Iterable[str], error: InfernetError) -> None:
        failures = [Failure(JobId(job_id), error.code, error.message) for job_id in job_ids]
        if failures:
            tell(self._journal.fail(failures), "journal.fail")


def _early(submission: Submission, attempt: int) -> Dispatch:
    return Dispatch(submission.job, attempt, confirmed=False, prompt_ids=submission.prompt_ids)


def _is_created(job: Job, answer: Accepted | InfernetError) -> bool:
    """Whether the answer is of this job, and not of one that was submitted before it."""
    return isinstance(answer, Accepted) and answer.id == job.id


def _disconnected(node_id: NodeId) -> NodeDisconnected:
    return NodeDisconnected(f"Node {node_id} is gone")
