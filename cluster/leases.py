"""Where every job is, and what is to be done when something happens. Pure: the Scheduler carries it out.

Each public method is something that happens. It moves jobs from place to place and returns the actions that follow.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence

from cluster.actions import Abort, Action, Attach, Beginning, Confirm, Fail, Fence, Order, Record
from cluster.deadlines import Deadlines
from cluster.errors import EngineFailed, InfernetError, JobTimeout
from cluster.fleet.fleet import Fleet
from cluster.fleet.replica import Replica
from cluster.ids import EngineId, JobId
from cluster.messages.machines import EngineReport, NodeReport
from cluster.messages.work import (
    Dispatch,
    Failure,
    Fenced,
    Job,
    JobAttempt,
    OpenJob,
    Placed,
    Released,
    Submission,
)
from cluster.patience import Patience, disconnected
from cluster.places import Begun, Leased, Lost, Places, Queued, Recovering, Unconfirmed
from cluster.queue import LaneId, Waiting
from cluster.timing import Timing

MAX_ATTEMPTS = 5
# Of a large fleet the best engines tell enough of why one was chosen.
MOST_CONSIDERED = 16


class Leases:
    """Sole owner of where jobs are. A job that has no place here has ended, or was never accepted."""

    def __init__(self, fleet: Fleet, timing: Timing, open_jobs: Iterable[OpenJob] = ()) -> None:
        self.fleet = fleet
        self.places = Places(fleet)
        self._order_s = timing.order_s
        self._patience = Patience(fleet, self.places.queue, timing.no_capacity_grace_s)
        self._deadlines = Deadlines()
        for open_job in open_jobs:
            self.places.put(open_job.job.id, Recovering(open_job))
            self._deadlines.keep(open_job.job.id, open_job.job.deadline_ms)
        # Lost jobs for which the Journal has to be asked, perhaps again.
        self._unfenced: list[JobId] = []
        # How many calls submit a job: one that got no answer is repeated, perhaps while the first is under way.
        self._submitting: Counter[JobId] = Counter()
        self._recovering = True
        self.quiescent = False
        """No more jobs are accepted or placed."""

    # What is asked ------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """No engine works on any job."""
        return self.places.working == 0

    # Submissions --------------------------------------------------------------------------------------------------

    def submitted(self, submissions: Sequence[Submission], now_s: float, now_ms: int) -> Beginning:
        """Engines begin on these jobs while they are made durable, as far as they would be placed at once."""
        placed: list[Placed] = []
        orders: dict[EngineId, list[Dispatch]] = defaultdict(list)
        for submission in submissions:
            job, lane = submission.job, LaneId.of(submission.job)
            self._submitting[job.id] += 1
            if job.id in self.places:
                continue
            self.places.put(job.id, Unconfirmed())
            if self.quiescent or self.places.queue.waits(lane) or (replica := self.fleet.best(lane)) is None:
                continue
            placed.append(self._lease(Begun(Waiting(job), replica.id, now_s), replica, now_ms))
            orders[replica.id].append(Dispatch(job, 1, confirmed=False, prompt_ids=submission.prompt_ids))
        return Beginning(placed, [Order(*order) for order in orders.items()])

    def confirmed(self, jobs: Iterable[Job]) -> list[Action]:
        """These jobs are durable."""
        attempts: dict[EngineId, list[JobAttempt]] = defaultdict(list)
        for job in jobs:
            match self.places.get(job.id):
                case Begun(waiting, engine_id) as begun:
                    self.places.confirm(job.id, begun)
                    attempts[engine_id].append((job.id, waiting.attempt))
                case Unconfirmed(attempt):
                    self.places.enqueue(Waiting(job, attempt))
                case _:
                    continue  # submitted twice at once, or cancelled meanwhile
            self._deadlines.keep(job.id, job.deadline_ms)
        return [Confirm(*confirm) for confirm in attempts.items()]

    def answered(self, submissions: Iterable[Submission]) -> list[Action]:
        """This call is over. Its jobs that were not confirmed were refused, or could not be made durable.

        A job that another call submits as well is left to that one.
        """
        self._submitting -= Counter(submission.job.id for submission in submissions)
        over = [s.job.id for s in submissions if s.job.id not in self._submitting]
        return self._remove_all([j for j in over if isinstance(self.places.get(j), Begun | Unconfirmed)])

    def cancelled(self, job_id: JobId, now_s: float, now_ms: int) -> list[Action]:
        """A client wants no more of this job. The next one has its place."""
        return self._remove_all([job_id]) + self.dispatched(now_s, now_ms)

    # Engines and the Journal --------------------------------------------------------------------------------------

    def reported(self, report: NodeReport, now_s: float, now_ms: int) -> list[Action]:
        """A node tells of itself and of all its engines."""
        change = self.fleet.report(report, now_s, now_ms)
        actions = [
            *self._attach(change.ready, now_s),
            *self._reclaim_unreported(report.engines, now_s),
            *self._abort_strays(report.engines),
            *self._lose(change.lost),
        ]
        self.fleet.plan(now_s)
        return actions + self.dispatched(now_s, now_ms)

    def engine_lost(self, engine_id: EngineId, now_s: float) -> list[Action]:
        """This engine is dead, whatever its node has yet to notice."""
        self.fleet.never_adopt(engine_id)
        actions = list(self._lose([engine_id]))
        # At once: in between, it would look as if nothing could serve the model.
        self.fleet.plan(now_s)
        return actions

    def fenced(self, asked: Sequence[JobAttempt], fences: Sequence[Fenced], now_s: float, now_ms: int) -> list[Action]:
        """The Journal has shut out the attempts that it answers for. The other jobs are about to end."""
        actions: list[Action] = []
        for fence in reversed(fences):  # each goes to the front
            place = self.places.get(fence.job_id)
            if isinstance(place, Lost):
                self.places.remove(fence.job_id)
                if not fence.ended:
                    actions += self._requeue(place.waiting.job, fence)
        self.not_fenced(asked)
        return actions + self.dispatched(now_s, now_ms)

    def not_fenced(self, asked: Sequence[JobAttempt]) -> None:
        """Those of these jobs that are still lost are asked for again at the next tick."""
        self._unfenced += [job_id for job_id, _ in asked if isinstance(self.places.get(job_id), Lost)]

    def released(self, released: Iterable[Released], now_s: float, now_ms: int) -> list[Action]:
        """These attempts have ended their jobs, durably."""
        for done in released:
            match self.places.get(done.job_id):
                case Leased(waiting, engine_id) if waiting.attempt == done.attempt:
                    if done.failed and (replica := self.fleet.replica(engine_id)):
                        replica.note_failure(now_s)
                    self.places.remove(done.job_id)
                case Queued() | Lost() | Recovering():  # it has been taken from its engine meanwhile
                    self.places.remove(done.job_id)
        return self.dispatched(now_s, now_ms)

    # Time ---------------------------------------------------------------------------------------------------------

    def tick(self, now_s: float, now_ms: int) -> list[Action]:
        """Time has passed."""
        actions = [
            *self._lose(self.fleet.expire(now_s).lost),
            *self._fail_overdue(now_ms),
            *self._fail_lanes(self._patience.disconnected()),
        ]
        self._recover_unclaimed(now_s)
        actions += self._fence_lost()
        self.fleet.plan(now_s)
        actions += self._fail_lanes(self._patience.exhausted(now_s))
        return actions + self.dispatched(now_s, now_ms)

    def dispatched(self, now_s: float, now_ms: int) -> list[Action]:
        """Every job for which there is an engine goes to it."""
        if self.quiescent:
            return []
        orders: dict[EngineId, list[Dispatch]] = defaultdict(list)
        placed: list[Placed] = []
        for lane in self.places.queue.lanes():
            while (replica := self.fleet.best(lane)) is not None and (waiting := self.places.pop(lane)) is not None:
                placed.append(self._lease(Leased(waiting, replica.id, now_s), replica, now_ms))
                orders[replica.id].append(Dispatch(waiting.job, waiting.attempt, waiting.resume))
        return [*(Order(*order) for order in orders.items()), Record(placed)] if placed else []

    def _fail_overdue(self, now_ms: int) -> list[Action]:
        overdue = [job_id for job_id in self._deadlines.passed(now_ms) if job_id in self.places]
        return [*self._remove_all(overdue), *_failed(overdue, JobTimeout("The job did not end in time"))]

    def _fail_lanes(self, hopeless: Iterable[tuple[LaneId, InfernetError]]) -> Iterator[Action]:
        for lane, error in list(hopeless):
            yield from _failed(self.places.clear(lane), error)

    def _recover_unclaimed(self, now_s: float) -> None:
        """The jobs from before a restart that no engine works on are lost, once every engine has had its time."""
        if not self._recovering or not self.fleet.settled(now_s):
            return
        self._recovering = False
        for job_id, place in list(self.places):
            if isinstance(place, Recovering):
                self.places.put(job_id, Lost(Waiting(place.open_job.job, place.open_job.attempt)))
                self._unfenced.append(job_id)

    # Leasing ------------------------------------------------------------------------------------------------------

    def _lease(self, place: Begun | Leased, replica: Replica, now_ms: int) -> Placed:
        """Give a job to this engine. Returns the record of it, with what was considered."""
        waiting, lane = place.waiting, LaneId.of(place.waiting.job)
        considered = self.fleet.ranking(lane.model).considered(lane.node_id, MOST_CONSIDERED)
        self.places.assign(place)
        return Placed(waiting.job.id, replica.node_id, replica.id, waiting.attempt, now_ms, considered)

    def _remove_all(self, job_ids: Iterable[JobId]) -> list[Action]:
        """These jobs have no place any more; the engines that work on them stop."""
        stopping: dict[EngineId, list[JobAttempt]] = defaultdict(list)
        for job_id in job_ids:
            match self.places.remove(job_id):
                case Begun(waiting, engine_id) | Leased(waiting, engine_id):
                    stopping[engine_id].append((job_id, waiting.attempt))
        return [Abort(*abort) for abort in stopping.items()]

    # Losing and going on ------------------------------------------------------------------------------------------

    def _attach(self, ready: Sequence[EngineReport], now_s: float) -> Iterator[Action]:
        """The Journal reads engines that have become ready. The jobs they already work on are theirs again."""
        if ready:
            yield Attach([engine.id for engine in ready])
        for engine in ready:
            if reclaimed := [attempt for attempt in engine.running if self._reclaim(engine.id, attempt, now_s)]:
                # The Scheduler before this one may have died before it did.
                yield Confirm(engine.id, reclaimed)

    def _reclaim(self, engine_id: EngineId, running: JobAttempt, now_s: float) -> bool:
        """Lease a job from before a restart to the engine that has gone on with it."""
        job_id, attempt = running
        place = self.places.get(job_id)
        if not isinstance(place, Recovering) or attempt < place.open_job.attempt:
            return False
        self.places.assign(Leased(Waiting(place.open_job.job, attempt), engine_id, now_s))
        return True

    def _reclaim_unreported(self, engines: Sequence[EngineReport], now_s: float) -> Iterator[Action]:
        """Take back the jobs that an engine should have known of when it spoke, and did not.

        Either the order or the notice of the end was lost, with the process that should have sent or received it.
        """
        for engine in engines:
            replica = self.fleet.replica(engine.id)
            spoke_s, running = now_s - engine.age_s, set(engine.running)
            missing = [
                job_id
                for job_id in (replica.tokens_of if replica else ())
                if self._is_missing(job_id, spoke_s - self._order_s, running)
            ]
            yield from self._mark_lost(missing)

    def _is_missing(self, job_id: JobId, given_before_s: float, running: Container[JobAttempt]) -> bool:
        place = self.places.get(job_id)
        assert isinstance(place, Begun | Leased)
        return place.since_s < given_before_s and (job_id, place.waiting.attempt) not in running

    def _abort_strays(self, engines: Sequence[EngineReport]) -> Iterator[Action]:
        """Engines stop what nobody waits for: an order may arrive after the one that takes it back."""
        for engine in engines:
            if strays := [attempt for attempt in engine.running if not self._wants(engine.id, attempt)]:
                yield Abort(engine.id, strays)

    def _wants(self, engine_id: EngineId, running: JobAttempt) -> bool:
        """Whether this engine is to work on this attempt, or may have to be asked for its output."""
        job_id, attempt = running
        match self.places.get(job_id):
            case Begun(waiting, leased_to) | Leased(waiting, leased_to):
                return (leased_to, waiting.attempt) == (engine_id, attempt)
            case Recovering(open_job):
                return attempt >= open_job.attempt
            case Lost():
                return True
        return False

    def _lose(self, engine_ids: Iterable[EngineId]) -> Iterator[Action]:
        for engine_id in engine_ids:
            if (replica := self.fleet.drop(engine_id)) is not None:
                yield from self._mark_lost(list(replica.tokens_of))

    def _mark_lost(self, job_ids: Iterable[JobId]) -> Iterator[Action]:
        """These jobs go on when their attempts are fenced. One that had only begun waits to be durable instead."""
        attempts: list[JobAttempt] = []
        for job_id in job_ids:
            match self.places.get(job_id):
                case Leased(waiting):
                    self.places.put(job_id, Lost(waiting))
                    attempts.append((job_id, waiting.attempt))
                case Begun(waiting):
                    self.places.put(job_id, Unconfirmed(waiting.attempt + 1))
        if attempts:
            yield Fence(attempts)

    def _fence_lost(self) -> list[Action]:
        """Ask the Journal, perhaps again, for the jobs that it did not answer for."""
        places, self._unfenced = [self.places.get(job_id) for job_id in self._unfenced], []
        lost = [(place.waiting.job.id, place.waiting.attempt) for place in places if isinstance(place, Lost)]
        return [Fence(lost)] if lost else []

    def _requeue(self, job: Job, fence: Fenced) -> list[Action]:
        if job.node_id is not None and not self.fleet.online(job.node_id):
            return _failed([job.id], disconnected(job.node_id))
        if fence.attempt > MAX_ATTEMPTS:
            return _failed([job.id], EngineFailed("The engines that ran this job failed"))
        self.places.enqueue(Waiting(job, fence.attempt, fence.output), first=True)
        return []


def _failed(job_ids: Sequence[JobId], error: InfernetError) -> list[Action]:
    return [Fail([Failure(job_id, error.code, error.message) for job_id in job_ids])] if job_ids else []
