"""Where every job is, and what is to be done when something happens. Pure: the Scheduler carries it out.

Each public method is something that happens. It moves jobs from place to place and returns the actions that follow.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from cluster import acceptance
from cluster.errors import InfernetError, JobCancelled, JobTimeout
from cluster.fleet.fleet import Fleet
from cluster.fleet.replica import Replica
from cluster.ids import EngineId, JobId, NodeId
from cluster.job_states import JobState
from cluster.leases.actions import (
    Action,
    Ask,
    Attach,
    Beginning,
    Confirm,
    Fail,
    Forget,
    Mark,
    Order,
    Record,
    per_engine,
)
from cluster.leases.endings import Endings
from cluster.leases.inventory import Inventory
from cluster.leases.losses import Losses
from cluster.leases.patience import Patience
from cluster.leases.places import Begun, Ending, Leased, Lost, Places, Queued, Recovering, Unconfirmed
from cluster.leases.recovery import Recovery
from cluster.leases.time_limits import TimeLimits
from cluster.messages.machines import EngineReport, FailedAttempt, NodeReport
from cluster.messages.people import ShareMark
from cluster.messages.placements import Placed
from cluster.messages.seats import ClusterReport
from cluster.messages.work import Dispatch, Failure, Fenced, Job, JobAttempt, OpenAttempt, OpenJob, Released, Submission
from cluster.placement import NOTHING, NOWHERE, Cached, Loaded, prompt_tokens
from cluster.queue import LaneId, Waiting
from cluster.timing import Timing

# Of a large fleet the best engines tell enough of why one was chosen.
MOST_CONSIDERED = 16


class Leases:
    """Sole owner of where jobs are. A job that has no place here has ended, or was never accepted."""

    def __init__(
        self, fleet: Fleet, timing: Timing, open_jobs: Iterable[OpenJob] = (), marks: Iterable[ShareMark] = ()
    ) -> None:
        """`open_jobs` and `marks` are what the Ledger has of those before this one."""
        self.fleet = fleet
        self.places = Places(fleet)
        self._unreached_s = timing.unreached_s
        self._patience = Patience(fleet, self.places.queue, timing.no_capacity_grace_s)
        self._time_limits = TimeLimits(self.places)
        self._endings = Endings(self.places)
        self._losses = Losses(fleet, self.places, self._endings)
        self._inventory = Inventory(fleet, self.places, timing.order_s)
        self._recovery = Recovery(self.places, self._losses, round(timing.stray_s * 1000))
        # How many calls submit a job: one that got no answer is repeated, perhaps while the first is under way.
        self._submitting: Counter[JobId] = Counter()
        # Engines that the Journal could not be told of.
        self._unattached: set[EngineId] = set()
        self.quiescent = False
        """No more jobs are accepted or placed."""
        self._marking = False
        open_jobs = list(open_jobs)
        self._recovery.begin(open_jobs)
        self.places.queue.restore_shares(marks, (each.job for each in open_jobs if each.status is JobState.PENDING))
        self._time_limits.keep(open_job.job for open_job in open_jobs)

    # What is asked ------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """No engine works on any job."""
        return self.places.working == 0

    # Submissions --------------------------------------------------------------------------------------------------

    def submitted(self, submissions: Sequence[Submission], now_ms: int) -> Beginning:
        """Engines begin on these jobs while they are made durable, as far as they would be placed at once.

        The others wait, where their accounts may have so many waiting.
        """
        placed: list[Placed] = []
        refused: dict[JobId, InfernetError] = {}
        orders: list[tuple[EngineId, Dispatch]] = []
        for submission in submissions:
            job, waiting = submission.job, Waiting(submission.job, prefix=submission.prefix)
            self._submitting[job.id] += 1
            if job.id in self.places:
                continue
            lane = waiting.lane
            waits = self.quiescent or self.places.queue.waits(lane)
            cached, loaded = (NOTHING, NOWHERE) if waits else self._had(waiting)
            replica = None if waits else self.fleet.best(lane, cached, loaded)
            if replica is not None:
                placed.append(self._lease(Begun(waiting, replica.id), lane, replica, cached, loaded, now_ms))
                # Of the prompt's tokens the door knows what they mean to engines that are as the settings want them.
                prompt_ids = submission.prompt_ids if replica.reads_as_wanted else ()
                dispatch = Dispatch(job, 1, confirmed=False, prompt_ids=prompt_ids)
                orders.append((replica.id, dispatch))
            elif refusal := self._too_many(submission, now_ms):
                refused[job.id] = refusal
            else:
                self.places.put(job.id, Unconfirmed(waiting))
        return Beginning(placed, [Order(*order) for order in per_engine(orders)], refused)

    def confirmed(self, jobs: Iterable[Job]) -> list[Action]:
        """These jobs are durable."""
        attempts: list[tuple[EngineId, JobAttempt]] = []
        for job in jobs:
            match self.places.get(job.id):
                case Begun(waiting, engine_id) as begun:
                    self.places.confirm(job.id, begun)
                    attempts.append((engine_id, (job.id, waiting.attempt)))
                case Unconfirmed(waiting):
                    self.places.enqueue(waiting)
                case _:
                    continue  # submitted twice at once, or cancelled meanwhile
            self._time_limits.keep([job])
        return [Confirm(*confirm) for confirm in per_engine(attempts)]

    def answered(self, submissions: Iterable[Submission]) -> list[Action]:
        """This call is over. Its jobs that were not confirmed were refused, or could not be made durable.

        A job that another call submits as well is left to that one.
        """
        self._submitting -= Counter(submission.job.id for submission in submissions)
        forgotten: list[tuple[EngineId, JobAttempt]] = []
        for job_id in {s.job.id for s in submissions if s.job.id not in self._submitting}:
            match self.places.get(job_id):
                case Begun(waiting, engine_id):
                    self.places.remove(job_id)
                    forgotten.append((engine_id, (job_id, waiting.attempt)))
                case Unconfirmed():
                    self.places.remove(job_id)
        return [Forget(*forget) for forget in per_engine(forgotten)]

    def cancelled(self, job_id: JobId, now_ms: int) -> list[Action]:
        """A client wants no more of this job. The next one has its place."""
        match self.places.get(job_id):
            case Ending(failure):
                return [Fail([failure])]
        return self._end([job_id], JobCancelled("The job was cancelled")) + self.dispatched(now_ms)

    # Orders -------------------------------------------------------------------------------------------------------

    def delivered(self, engine_id: EngineId, attempts: Iterable[JobAttempt], now_s: float) -> None:
        """This engine has its orders of these."""
        for attempt in attempts:
            if place := self.places.given_to(engine_id, attempt):
                self.places.deliver(place, now_s)

    def unreached(self, engine_id: EngineId, attempts: Iterable[JobAttempt], now_s: float, now_ms: int) -> list[Action]:
        """A call to this engine failed that may succeed again. It may have brought these orders, or not.

        It is asked from the next tick on: where one call fails and another does not, they are not made in a circle.
        """
        replica = self.fleet.replica(engine_id)
        if replica is None:
            return []
        replica.note_unreached(now_s)
        uncertain = [attempt[0] for attempt in attempts if self.places.given_to(engine_id, attempt)]
        return [*self._losses.taken_back(uncertain, "engine cannot be reached"), *self.dispatched(now_ms)]

    def reached(self, engine_id: EngineId, now_ms: int) -> list[Action]:
        """This engine has answered."""
        if replica := self.fleet.replica(engine_id):
            replica.note_reached()
        return self.dispatched(now_ms)

    def refused(self, engine_id: EngineId, failed: Iterable[FailedAttempt], now_s: float, now_ms: int) -> list[Action]:
        """This engine answered its order of these with an error of its own."""
        return [*self._losses.failed(engine_id, failed, now_s), *self.dispatched(now_ms)]

    # Engines and the Journal --------------------------------------------------------------------------------------

    def reported(self, report: NodeReport, now_s: float, now_ms: int) -> list[Action]:
        """A node tells of itself and of all its engines."""
        change = self.fleet.report(report, now_s, now_ms)
        actions = list(self._attach(change.ready, now_s))
        for engine in report.engines:
            self.places.hear(engine)
            actions += self._losses.failed(engine.id, engine.failed, now_s)
            actions += self._losses.taken_back(self._inventory.missing(engine, now_s), "order was lost")
            actions += self._inventory.corrections(engine, now_s)
        actions += self._losses.died(change.lost)
        if change.joined or change.lost:
            self._plan(now_s)
        return actions + self.dispatched(now_ms)

    def surveyed(self, report: ClusterReport, now_s: float, now_ms: int) -> list[Action]:
        """The cluster tells of its machines and of the seats."""
        actions = list(self._losses.gone(self.fleet.survey(report, now_s, now_ms).lost))
        self._plan(now_s)
        return actions + self.dispatched(now_ms)

    def engine_lost(self, engine_id: EngineId, now_s: float) -> list[Action]:
        """This engine is dead, whatever its node has yet to notice."""
        self.fleet.never_adopt(engine_id)
        actions = list(self._losses.died([engine_id]))
        # At once: in between, it would look as if nothing could serve the model.
        self._plan(now_s)
        return actions

    def drained(self, node_id: NodeId, drains: bool, now_s: float, now_ms: int) -> list[Action]:
        """This node is to get no more work, or gets work again."""
        self.fleet.drain(node_id, drains, now_s)
        self._plan(now_s)
        return self.dispatched(now_ms)

    def fenced(self, asked: Sequence[JobAttempt], fences: Sequence[Fenced], now_ms: int) -> list[Action]:
        """The Journal has shut out the attempts that it answers for. The other jobs are about to end."""
        return self._losses.fenced(asked, fences, now_ms) + self.dispatched(now_ms)

    def is_ending(self, job_id: JobId) -> bool:
        """Whether this job ends for a reason found here, and that is not known to be durable."""
        return isinstance(self.places.get(job_id), Ending)

    def why_moved(self, job_id: JobId) -> str:
        """Why this job was taken from its engine."""
        waiting = self.places.waiting(job_id)
        return "" if waiting is None or waiting.moved_by is None else waiting.moved_by

    def not_fenced(self, asked: Sequence[JobAttempt]) -> None:
        """Those of these jobs that are still lost are asked for again at the next tick."""
        self._losses.not_fenced(asked)

    def not_attached(self, engine_ids: Iterable[EngineId]) -> None:
        """The Journal is told of these engines again at the next tick."""
        self._unattached.update(engine_ids)

    def released(self, released: Iterable[Released], now_s: float, now_ms: int) -> list[Action]:
        """These attempts have ended their jobs, durably."""
        for done in released:
            match self.places.get(done.job_id):
                case Leased(waiting, engine_id) as lease if waiting.attempt == done.attempt:
                    if replica := self.fleet.replica(engine_id):
                        if done.failed:
                            replica.note_failure(now_s)
                        else:
                            replica.peers.answers.tell(done.tokens)
                    self.places.found(lease, done.cached_tokens)
                    self.places.made(lease, done.tokens)
                    self.places.remove(done.job_id)
                case Queued() | Lost() | Recovering() | Ending():  # it has been taken from its engine meanwhile
                    self.places.remove(done.job_id)
        return self.dispatched(now_ms)

    def failed(self, failures: Sequence[Failure]) -> list[Action]:
        """These ends are durable, or the jobs had ended before."""
        return self._endings.durable(failures)

    def not_failed(self, failures: Sequence[Failure]) -> None:
        """The Journal is told of these ends again at the next tick."""
        self._endings.not_told(failures)

    # The Ledger ---------------------------------------------------------------------------------------------------

    def attached(self) -> list[Action]:
        """The Journal reads every engine that is ready, whatever it has heard of them."""
        return [Attach(ready)] if (ready := self.fleet.ready()) else []

    def durable(self) -> set[JobId]:
        """The jobs here that the Ledger has."""
        return self._recovery.durable()

    def ended(self, job_ids: Iterable[JobId], now_ms: int) -> list[Action]:
        """The Ledger has had these, and they have ended."""
        return self._recovery.drop(job_ids) + self.dispatched(now_ms)

    def strays(self, open_attempts: Iterable[OpenAttempt], now_ms: int) -> list[JobId]:
        """Those of the Ledger's open jobs that nobody here has known of for a while."""
        return self._recovery.strays(open_attempts, now_ms)

    def taken_up(self, open_jobs: Sequence[OpenJob]) -> list[Action]:
        """These strays are still open, and go on."""
        self._time_limits.keep(open_job.job for open_job in self._recovery.take_up(open_jobs))
        return self._losses.repeat()

    def marked(self) -> None:
        """What accounts have had is written down."""
        self._marking = False

    def not_marked(self, marks: Iterable[ShareMark]) -> None:
        """These are written down again at the next tick."""
        self._marking = False
        self.places.queue.not_written(marks)

    # Time ---------------------------------------------------------------------------------------------------------

    def tick(self, now_s: float, now_ms: int) -> list[Action]:
        """Time has passed."""
        actions = [
            *self._losses.gone(self.fleet.expire(now_s).lost),
            *self._give_up_unreached(now_s),
            *self._attach_again(),
            *self._endings.repeat(),
            *self._end(
                self._time_limits.passed(self.fleet.models.starting(), now_ms),
                JobTimeout("The job did not end in time"),
            ),
            *self._end_lanes(self._patience.disconnected()),
        ]
        if self.fleet.settled(now_s):
            self._recovery.settle()
        actions += self._losses.repeat()
        actions += self._losses.overdue(now_s, now_ms)
        self._plan(now_s)
        actions += self._end_lanes(self._patience.exhausted(now_s))
        if self._recovery.recovered():
            self.places.queue.recovered()
        return [*actions, *self.dispatched(now_ms), *self._mark()]

    def dispatched(self, now_ms: int) -> list[Action]:
        """Every job for which there is an engine goes to it."""
        if self.quiescent:
            return []
        orders: list[tuple[EngineId, Dispatch]] = []
        placed: list[Placed] = []
        for lane in self.places.queue.lanes():
            prefer = self.fleet.models.preference(lane)
            while self.places.queue.waits(lane) and (replica := self.fleet.best(lane)):
                waiting, passed = self.places.pop(lane, prefer)
                cached, loaded = self._had(waiting)
                if cached or loaded:
                    replica = self.fleet.best(lane, cached, loaded)
                assert replica is not None
                placed.append(self._lease(Leased(waiting, replica.id), lane, replica, cached, loaded, now_ms, passed))
                orders.append((replica.id, Dispatch(waiting.job, waiting.attempt, waiting.resume)))
        return [*(Order(*order) for order in per_engine(orders)), Record(placed)] if placed else []

    def _end(self, job_ids: Iterable[JobId], error: InfernetError) -> list[Action]:
        """These jobs end with this error, unless they have ended or do so already."""
        waiting = [self.places.waiting(job_id) for job_id in job_ids]
        return self._endings.begin([each for each in waiting if each is not None], error)

    def _end_lanes(self, hopeless: Iterable[tuple[LaneId, InfernetError]]) -> Iterator[Action]:
        for lane, error in list(hopeless):
            yield from self._endings.begin(self.places.clear(lane), error)

    def _give_up_unreached(self, now_s: float) -> Iterator[Action]:
        """Engines that cannot be reached are asked again. The jobs of one that has not answered for long go on."""
        for replica in self.fleet.unreached():
            yield Ask(replica.id)
            if replica.unreached_since_s is not None and now_s - replica.unreached_since_s >= self._unreached_s:
                yield from self._losses.taken_back(list(replica.tokens_of), "engine cannot be reached")

    def _mark(self) -> list[Action]:
        """One call at a time: of two that overtake each other, the older one would hold."""
        marks = [] if self._marking else self.places.queue.share_changes()
        self._marking = self._marking or bool(marks)
        return [Mark(marks)] if marks else []

    def _plan(self, now_s: float) -> None:
        self.fleet.plan(now_s, self.places.queue.waiting_for)

    def _too_many(self, submission: Submission, now_ms: int) -> InfernetError | None:
        return acceptance.too_many_queued(submission, self.places.queued_of(submission.job.account_id), now_ms)

    # Leasing ------------------------------------------------------------------------------------------------------

    def _had(self, waiting: Waiting) -> tuple[Cached, Loaded]:
        """How much of this job's prompt engines are expected to have in their caches, and who has its adapter."""
        job = waiting.job
        cached = self.fleet.models.cached(job.model, waiting.prefix, prompt_tokens(job)) if waiting.prefix else NOTHING
        return cached, self.fleet.models.having(job.model, job.adapter)

    def _lease(
        self,
        place: Begun | Leased,
        lane: LaneId,
        replica: Replica,
        cached: Cached,
        loaded: Loaded,
        now_ms: int,
        passed: int = 0,
    ) -> Placed:
        """Give a job of this lane to this engine. Returns the record of it, with what was considered."""
        waiting = place.waiting
        ranking = self.fleet.models.ranking(lane.model)
        considered = ranking.considered(lane.node_id, MOST_CONSIDERED, lane.suspect, cached, loaded)
        self.places.assign(place)
        moved_by = waiting.moved_by if waiting.attempt > 1 else None
        where = waiting.job.id, replica.node_id, replica.id
        return Placed(*where, waiting.attempt, now_ms, considered, moved_by, passed=passed)

    def _attach(self, ready: Sequence[EngineReport], now_s: float) -> Iterator[Action]:
        """The Journal reads engines that have become ready. The jobs they already work on are theirs again."""
        if ready:
            yield Attach([engine.id for engine in ready])
        for engine in ready:
            tokens = dict(zip(engine.running, engine.tokens, strict=False))
            if reclaimed := [
                a for a in engine.running if self._recovery.reclaim(engine.id, a, tokens.get(a, 0), now_s)
            ]:
                # The Scheduler before this one may have died before it did.
                yield Confirm(engine.id, reclaimed)

    def _attach_again(self) -> list[Action]:
        unattached, self._unattached = self._unattached, set()
        ready = [engine_id for engine_id in self.fleet.ready() if engine_id in unattached]
        return [Attach(ready)] if ready else []
