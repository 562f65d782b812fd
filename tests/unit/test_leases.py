"""Where every job is, whatever happens in whatever order: checked against a Ledger, a Journal and engines as a model.

The machine plays the world: it delivers actions late, loses some, and never in an order that anybody promised.
"""

from collections import Counter
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from cluster.catalogue import Catalogue, Model, Replicas
from cluster.ids import AccountId, EngineId, JobId, KeyId, NodeId
from cluster.job_states import JobState
from cluster.leases.actions import Abort, Action, Ask, Attach, Confirm, Fail, Fence, Forget, Mark, Order, Record
from cluster.leases.leases import Leases
from cluster.leases.places import Begun, Ending, Leased, Lost, Queued, Recovering, Unconfirmed
from cluster.liveness.attention import AttendedTime
from cluster.messages.machines import EngineReport, FailedAttempt, Hardware, NodeReport
from cluster.messages.people import ShareMark
from cluster.messages.placements import Placed
from cluster.messages.work import Dispatch, Fenced, Job, JobAttempt, OpenJob, Output, Released, Sampling, Submission
from cluster.timing import Timing
from tests.support.seats import SeatedFleet

MODELS = (
    Model(id="m", source="s", gpus=0, cpus=1.0, replicas=Replicas(2, 2)),
    Model(id="n", source="s", gpus=0, cpus=1.0, replicas=Replicas(0, 2, idle_s=20, drain_s=2)),
)
NODES = tuple(NodeId(f"node_{number}") for number in range(3))
SLOTS = 2
ACCOUNTS = (AccountId("acct_0"), AccountId("acct_1"))
MAX_QUEUED = 5
HOUR_MS = 3_600_000


def job(name: str, account_id: AccountId, model: str, node_id: NodeId | None, deadline_ms: int) -> Job:
    return Job(
        id=JobId(name),
        account_id=account_id,
        key_id=KeyId("key"),
        model=model,
        messages=(),
        sampling=Sampling(max_tokens=10),
        created_ms=0,
        deadline_ms=deadline_ms,
        node_id=node_id,
        prompt_tokens=3,
    )


class Engine:
    """What one engine works on: jobs' attempts, which of them it may tell of, has stopped, or has failed at once."""

    def __init__(self, engine_id: EngineId, model: str, node_id: NodeId) -> None:
        self.id = engine_id
        self.model = model
        self.node_id = node_id
        self.running: dict[JobId, int] = {}
        self.told_of: set[JobAttempt] = set()
        self.stopped: set[JobAttempt] = set()
        self.failed: set[JobAttempt] = set()

    def works_on(self, attempt: JobAttempt) -> bool:
        return attempt in self.running.items() and attempt not in self.stopped | self.failed

    def forget(self, attempt: JobAttempt) -> None:
        if attempt in self.running.items():
            del self.running[attempt[0]]

    def obey(self, dispatches: Iterable[Dispatch]) -> None:
        for dispatch in dispatches:
            job_id, attempt = dispatch.job.id, dispatch.attempt
            if self.running.get(job_id, 0) < attempt:
                self.running[job_id] = attempt
            if dispatch.confirmed and self.running[job_id] == attempt:
                self.told_of.add((job_id, attempt))

    def report(self) -> EngineReport:
        running = tuple(self.running.items())
        return EngineReport(
            self.id,
            self.model,
            self.node_id,
            "ready",
            slots=SLOTS,
            context_length=128,
            running=running,
            stopped=tuple(attempt for attempt in running if attempt in self.stopped),
            unconfirmed=tuple(attempt for attempt in running if attempt not in self.told_of),
            failed=tuple(FailedAttempt(*attempt, "no") for attempt in running if attempt in self.failed),
        )


class World(RuleBasedStateMachine):
    """Everything around the Leases. `under_way` are the actions that have not arrived yet."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.clock_s, self.now_ms = 1000.0, 1_700_000_000_000
        self.attended = AttendedTime(Timing().tick_s, Timing().late_s)
        self.engines: dict[EngineId, Engine] = {}
        self.dead: set[EngineId] = set()
        self.under_way: list[Action] = []
        self.jobs: dict[JobId, Job] = {}
        self.durable: set[JobId] = set()
        self.ended: set[JobId] = set()
        self.refused: set[JobId] = set()
        self.submitting: list[tuple[list[Submission], list[Placed]]] = []
        self.attempts: dict[JobId, int] = {}  # as the Journal knows them
        self.recorded: dict[JobId, int] = {}  # as the Ledger knows them
        self.highest: dict[JobId, int] = {}  # as orders had them
        self.strays: set[JobId] = set()  # durable, and those who were to know of it do not
        self.marks: dict[tuple[str, AccountId], ShareMark] = {}
        self.leases = self._new_leases(())

    def _new_leases(self, open_jobs: Iterable[OpenJob]) -> Leases:
        existing = [engine_id for engine_id in self.engines if engine_id not in self.dead]
        self.fleet = SeatedFleet(Catalogue(MODELS), existing, self.now_s)
        self.strays = set()
        return Leases(self.fleet, Timing(), list(open_jobs), self.marks.values())

    @property
    def now_s(self) -> float:
        return self.attended.at(self.clock_s)

    def _now(self) -> tuple[float, int]:
        return self.now_s, self.now_ms

    def _pass(self, seconds: float) -> None:
        self.clock_s += seconds
        self.now_ms += int(seconds * 1000)

    def _follow(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Order):
                for dispatch in action.dispatches:
                    self._ordered(dispatch)
            self.under_way.append(action)

    def _ordered(self, dispatch: Dispatch) -> None:
        """No attempt is made twice, and none after a later one."""
        assert dispatch.attempt > self.highest.get(dispatch.job.id, 0)
        assert dispatch.job.id not in self.ended
        self.highest[dispatch.job.id] = dispatch.attempt

    # Clients ------------------------------------------------------------------------------------------------------

    @initialize()
    def machines_join(self) -> None:
        for node_id in NODES:
            self._heartbeat(node_id)

    @rule(
        models=st.lists(st.sampled_from(["m", "n"]), min_size=1, max_size=3),
        pin=st.sampled_from([None, None, *NODES]),
        soon=st.booleans(),
        whose=st.sampled_from(ACCOUNTS),
    )
    def submit(self, models: list[str], pin: NodeId | None, soon: bool, whose: AccountId) -> None:
        jobs = [
            job(f"job_{len(self.jobs) + n}", whose, model, pin, self.now_ms + (2000 if soon else HOUR_MS))
            for n, model in enumerate(models)
        ]
        self.jobs |= {job.id: job for job in jobs}
        self._submit([Submission(job, max_queued=MAX_QUEUED) for job in jobs])

    @precondition(lambda self: self.submitting)
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        """A call that is under way is made a second time."""
        number = data.draw(st.integers(0, len(self.submitting) - 1))
        self._submit(self.submitting[number][0])

    def _submit(self, submissions: list[Submission]) -> None:
        """A call arrives. One that comes again after its job has ended is not played: the Journal stops what begins."""
        over = self.ended | {job_id for job_id in self.durable if job_id not in self.leases.places}
        submissions = [s for s in submissions if s.job.id not in over]
        before = {account_id: self.leases.places.queued_of(account_id) for account_id in ACCOUNTS}
        begun = self.leases.submitted(submissions, self.now_ms)
        for account_id in ACCOUNTS:
            assert self.leases.places.queued_of(account_id) <= max(before[account_id], MAX_QUEUED)
        for job_id in begun.refused:
            assert self.leases.places.queued_of(self.jobs[job_id].account_id) >= MAX_QUEUED
        self.refused |= begun.refused.keys()
        self.submitting.append((submissions, begun.placed))
        self._follow(begun.orders)

    @precondition(lambda self: self.submitting)
    @rule(data=st.data(), outcome=st.sampled_from(["durable", "durable", "durable", "refused", "failed", "unknown"]))
    def answer(self, data: st.DataObject, outcome: str) -> None:
        """The Ledger answers a call of `submit`: all are durable, all are refused, or it could not be asked.

        Or its answer is lost, and they are durable all the same.
        """
        number = data.draw(st.integers(0, len(self.submitting) - 1))
        submissions, placed = self.submitting.pop(number)
        known = [s.job for s in submissions if s.job.id in self.durable]
        if outcome == "durable":
            fresh = [s.job for s in submissions if s.job.id not in self.refused]
            self.durable |= {job.id for job in fresh}
            self._record(placed)
            self._follow(self.leases.confirmed(fresh))
        elif outcome == "refused":
            self.refused |= {s.job.id for s in submissions} - self.durable
            self._follow(self.leases.confirmed(known))
        elif outcome == "unknown":
            fresh_ids = {s.job.id for s in submissions} - self.refused
            self.durable |= fresh_ids
            self._record(placed)
        self._follow(self.leases.answered(submissions))
        if outcome == "unknown":
            self.strays |= {job_id for job_id in fresh_ids if job_id not in self.leases.places} - self.ended
        self._follow(self.leases.dispatched(self.now_ms))

    @precondition(lambda self: self.durable - self.ended)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.durable - self.ended)))
        if job_id in self.leases.places:
            self._follow(self.leases.cancelled(job_id, self.now_ms))
            assert isinstance(self.leases.places.get(job_id), Ending)

    @rule()
    def the_ledger_is_compared(self) -> None:
        """Twice, so that what is young by the Ledger is looked at again."""
        for _ in range(2):
            held = self.leases.durable()
            still_open = self.durable - self.ended
            self._follow(self.leases.ended(held - still_open, self.now_ms))
            strays = self.leases.strays([(j, self.recorded.get(j, 0), 0) for j in sorted(still_open)], self.now_ms)
            assert self.strays <= set(strays)
            self._follow(self.leases.taken_up([self._open_job(job_id) for job_id in strays]))
            self.strays = set()

    def _open_job(self, job_id: JobId) -> OpenJob:
        state = JobState.PROCESSING if job_id in self.recorded else JobState.PENDING
        return OpenJob(self.jobs[job_id], state, self.recorded.get(job_id, 0))

    # Actions arrive -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def an_action_arrives(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.under_way) - 1))
        self._arrive(self.under_way.pop(number))

    @precondition(lambda self: self.under_way)
    @rule()
    def all_actions_arrive(self) -> None:
        while self.under_way:
            self._arrive(self.under_way.pop(0))

    def _arrive(self, action: Action) -> None:
        match action:
            case Order(engine_id, dispatches):
                if engine_id in self.dead:
                    self._follow(self.leases.engine_lost(engine_id, self.now_s))
                else:
                    self.engines[engine_id].obey(dispatches)
                    self.leases.delivered(engine_id, _attempts(dispatches), self.now_s)
            case Ask(engine_id):
                if engine_id in self.dead:
                    self._follow(self.leases.engine_lost(engine_id, self.now_s))
                else:
                    self._follow(self.leases.reached(engine_id, self.now_ms))
            case Confirm(engine_id, attempts):
                engine = self.engines[engine_id]
                known = [attempt for attempt in attempts if attempt in engine.running.items()]
                if len(known) < len(attempts) and self._order_is_under_way(engine_id, attempts):
                    self.under_way.append(action)  # the Scheduler waits for its order
                else:
                    engine.told_of |= set(known)
            case Abort(engine_id, attempts):
                self.engines[engine_id].stopped |= set(attempts)
            case Forget(engine_id, attempts):
                for attempt in attempts:
                    self.engines[engine_id].forget(attempt)
            case Fence(attempts):
                self._fence(attempts)
            case Fail(failures):
                for failure in failures:
                    self._end(failure.job_id)
                self._follow(self.leases.failed(failures))
            case Record(placed):
                self._record(placed)
            case Mark(marks):
                self._write(marks)
                self.leases.marked()
            case Attach():
                pass

    def _write(self, marks: Iterable[ShareMark]) -> None:
        for mark in marks:
            self.marks[mark.model, mark.account_id] = mark
            if mark.counter is None:
                del self.marks[mark.model, mark.account_id]

    def _record(self, placed: Iterable[Placed]) -> None:
        for where in placed:
            self.recorded[where.job_id] = max(self.recorded.get(where.job_id, 0), where.attempt)

    def _order_is_under_way(self, engine_id: EngineId, attempts: list[JobAttempt]) -> bool:
        orders = [action for action in self.under_way if isinstance(action, Order) and action.engine_id == engine_id]
        return any((d.job.id, d.attempt) in attempts for order in orders for d in order.dispatches)

    def _fence(self, attempts: list[JobAttempt]) -> None:
        fences = []
        for job_id, attempt in attempts:
            number = self.attempts[job_id] = max(self.attempts.get(job_id, 0), attempt) + 1
            fences.append(Fenced(job_id, number, Output(), job_id in self.ended))
        self._follow(self.leases.fenced(attempts, fences, self.now_ms))

    @precondition(lambda self: any(isinstance(action, Fence | Fail) for action in self.under_way))
    @rule(arrives=st.booleans())
    def the_journal_cannot_be_reached(self, arrives: bool) -> None:
        """Calls to it fail, whether or not it does what they ask for."""
        for action in [action for action in self.under_way if isinstance(action, Fence | Fail)]:
            self.under_way.remove(action)
            match action:
                case Fence(attempts):
                    self.leases.not_fenced(attempts)
                case Fail(failures):
                    if arrives:
                        for failure in failures:
                            self._end(failure.job_id)
                    self.leases.not_failed(failures)

    @precondition(lambda self: any(isinstance(action, Mark) for action in self.under_way))
    @rule(arrives=st.booleans())
    def the_ledger_cannot_write(self, arrives: bool) -> None:
        """Or it can, and its answer is lost."""
        for action in [action for action in self.under_way if isinstance(action, Mark)]:
            self.under_way.remove(action)
            if arrives:
                self._write(action.marks)
            self.leases.not_marked(action.marks)

    @precondition(lambda self: any(isinstance(action, Confirm | Abort | Forget) for action in self.under_way))
    @rule()
    def notices_to_engines_are_lost(self) -> None:
        self.under_way = [action for action in self.under_way if not isinstance(action, Confirm | Abort | Forget)]

    @precondition(lambda self: any(isinstance(action, Order) for action in self.under_way))
    @rule(arrives=st.booleans())
    def engines_cannot_be_reached(self, arrives: bool) -> None:
        """Orders fail, whether or not the engines have them."""
        for action in [action for action in self.under_way if isinstance(action, Order)]:
            self.under_way.remove(action)
            if arrives:
                self.engines[action.engine_id].obey(action.dispatches)
            attempts = _attempts(action.dispatches)
            self._follow(self.leases.unreached(action.engine_id, attempts, *self._now()))

    @precondition(lambda self: any(isinstance(action, Order) for action in self.under_way))
    @rule()
    def engines_refuse_orders(self) -> None:
        """By an error of their own: they have nothing of them."""
        for action in [action for action in self.under_way if isinstance(action, Order)]:
            self.under_way.remove(action)
            failed = [FailedAttempt(*attempt, "no") for attempt in _attempts(action.dispatches)]
            self._follow(self.leases.refused(action.engine_id, failed, *self._now()))

    # Machines -----------------------------------------------------------------------------------------------------

    @rule(node_id=st.sampled_from(NODES))
    def heartbeat(self, node_id: NodeId) -> None:
        self._heartbeat(node_id)

    def _heartbeat(self, node_id: NodeId) -> None:
        here = [engine for engine in self.engines.values() if engine.node_id == node_id and engine.id not in self.dead]
        report = NodeReport(node_id, Hardware(node_id, 1.0, 1 << 30), tuple(engine.report() for engine in here))
        self._follow(self.leases.reported(report, *self._now()))
        ordered = {order.id: order.model for order in self.fleet.orders(node_id).engines}
        for engine in here:
            if engine.id not in ordered:
                self.dead.add(engine.id)
        for engine_id in ordered.keys() - {engine.id for engine in here}:
            # A number may be used again once the engine that had it is gone.
            self.engines[engine_id] = Engine(engine_id, ordered[engine_id], node_id)
            self.dead.discard(engine_id)

    @precondition(lambda self: set(self.engines) - self.dead)
    @rule(data=st.data(), noticed=st.booleans())
    def an_engine_dies(self, data: st.DataObject, noticed: bool) -> None:
        engine_id = data.draw(st.sampled_from(sorted(set(self.engines) - self.dead)))
        self.dead.add(engine_id)
        if noticed:
            self._follow(self.leases.engine_lost(engine_id, self.now_s))

    @rule(data=st.data(), failed=st.booleans(), notices=st.sampled_from(["all", "all", "released", "settled", "none"]))
    def an_engine_ends_a_job(self, data: st.DataObject, failed: bool, notices: str) -> None:
        """Of which it may tell: the Journal makes the end durable unless the attempt is fenced.

        The notices of that to the Scheduler and to the engine may be lost.
        """
        telling = [
            (engine, attempt)
            for engine in self.engines.values()
            for attempt in engine.running.items()
            if engine.id not in self.dead and attempt in engine.told_of and engine.works_on(attempt)
        ]
        if not telling:
            return
        engine, (job_id, attempt) = data.draw(st.sampled_from(telling))
        engine.stopped.add((job_id, attempt))
        if job_id in self.ended or attempt < self.attempts.get(job_id, 0):
            return
        assert job_id in self.durable
        self._end(job_id)
        if notices in ("all", "settled"):
            engine.forget((job_id, attempt))
        if notices in ("all", "released"):
            self._follow(self.leases.released([Released(job_id, attempt, failed)], *self._now()))

    @rule(data=st.data())
    def an_engine_fails_a_job_before_its_first_token(self, data: st.DataObject) -> None:
        working = [
            (engine, attempt)
            for engine in self.engines.values()
            for attempt in engine.running.items()
            if engine.id not in self.dead and engine.works_on(attempt)
        ]
        if working:
            engine, attempt = data.draw(st.sampled_from(working))
            engine.failed.add(attempt)

    @rule(node_id=st.sampled_from(NODES), drains=st.booleans())
    def a_node_is_drained_or_not_any_more(self, node_id: NodeId, drains: bool) -> None:
        self._follow(self.leases.drained(node_id, drains, *self._now()))

    @rule(seconds=st.sampled_from([0.5, 0.5, 2.0, 4.0, 9.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        for _ in range(int(seconds / Timing().tick_s)):
            self._pass(Timing().tick_s)
            assert self.now_s <= self.clock_s
        self._follow(self.leases.tick(*self._now()))

    @rule(seconds=st.sampled_from([3.0, 9.0, 70.0]))
    def the_scheduler_stands_still(self, seconds: float) -> None:
        """Its next tick comes late. Nobody was silent."""
        self._follow(self.leases.tick(*self._now()))
        before = {replica.id for replica in self.fleet.replicas}
        self._pass(seconds)
        self._follow(self.leases.tick(*self._now()))
        assert before <= {replica.id for replica in self.fleet.replicas}

    @rule()
    def the_scheduler_is_restarted(self) -> None:
        """Nothing that it had under way arrives; callers repeat their calls."""
        repeated, self.submitting, self.under_way = self.submitting, [], []
        self.highest = {job_id: attempt for job_id, attempt in self.recorded.items() if job_id in self.durable}
        open_jobs = [self._open_job(job_id) for job_id in sorted(self.durable - self.ended)]
        self.leases = self._new_leases(open_jobs)
        for submissions, _ in repeated:
            self._submit(submissions)

    def _end(self, job_id: JobId) -> None:
        self.ended.add(job_id)

    # What always holds --------------------------------------------------------------------------------------------

    @invariant()
    def every_open_job_has_one_place_that_something_will_move_it_from(self) -> None:
        places = self.leases.places
        for job_id in self.durable - self.ended - self.strays:
            match places.get(job_id):
                case Leased(_, engine_id) | Begun(_, engine_id):
                    # Its engine's end, its report or its loss.
                    assert self.fleet.replica(engine_id) is not None
                case Queued(lane):
                    # An engine that has room, its node's loss, or patience.
                    assert job_id in places.queue.order(lane)
                case Lost() | Recovering() | Ending():
                    pass  # a tick
                case Unconfirmed():
                    assert any(job_id == s.job.id for call, _ in self.submitting for s in call)
                case None:
                    raise AssertionError(f"{job_id} is nowhere")

    @invariant()
    def engines_have_been_assigned_what_is_leased_to_them(self) -> None:
        leased: dict[EngineId, set[JobId]] = {}
        for job_id, place in self.leases.places:
            if isinstance(place, Begun | Leased):
                leased.setdefault(place.engine_id, set()).add(job_id)
        for replica in self.fleet.replicas:
            assert set(replica.tokens_of) == leased.pop(replica.id, set())
            assert replica.assigned_tokens == 13 * len(replica.tokens_of)
        assert leased == {}
        assert self.leases.idle == (not any(replica.tokens_of for replica in self.fleet.replicas))

    @invariant()
    def no_engine_works_on_two_suspects(self) -> None:
        leased = [place for _, place in self.leases.places if isinstance(place, Begun | Leased)]
        suspected = [place.engine_id for place in leased if place.waiting.is_suspect]
        assert len(suspected) == len(set(suspected))

    @invariant()
    def the_queue_holds_just_the_jobs_that_are_queued(self) -> None:
        places = self.leases.places
        queued = sorted(job_id for job_id, place in places if isinstance(place, Queued))
        assert queued == sorted(job_id for lane in places.queue.lanes() for job_id in places.queue.order(lane))
        assert len(places.queue) == len(queued)
        for model in ("m", "n"):
            mine = [job_id for job_id in queued if self.jobs[job_id].model == model]
            assert places.queue.waiting_for(model) == len(mine)

    @invariant()
    def it_is_known_how_many_jobs_of_an_account_wait(self) -> None:
        waiting = Counter(
            self.jobs[job_id].account_id
            for job_id, place in self.leases.places
            if isinstance(place, Unconfirmed | Queued | Lost)
            or (isinstance(place, Recovering) and place.open_job.status is JobState.PENDING)
        )
        for account_id in ACCOUNTS:
            assert self.leases.places.queued_of(account_id) == waiting[account_id]

    @invariant()
    def no_job_waits_beside_an_engine_that_could_take_it(self) -> None:
        for lane in self.leases.places.queue.lanes():
            assert self.fleet.best(lane) is None or self.leases.quiescent

    def teardown(self) -> None:
        """Left to itself, with machines that live, every job ends: nothing is held by nobody."""
        while self.submitting:
            submissions, placed = self.submitting.pop()
            self._record(placed)
            self.durable |= {s.job.id for s in submissions if s.job.id not in self.refused}
            self._follow(self.leases.confirmed([s.job for s in submissions if s.job.id not in self.refused]))
            self._follow(self.leases.answered(submissions))
        for _ in range(80):
            if self.durable <= self.ended and not len(self.leases.places) and not self.under_way:
                break
            for node_id in NODES:
                self._follow(self.leases.drained(node_id, False, *self._now()))
                self._heartbeat(node_id)
            self.all_actions_arrive()
            self._end_all_that_runs()
            self.the_ledger_is_compared()
            self._pass(1.0)
            self._follow(self.leases.tick(*self._now()))
        left = {job_id: self.leases.places.get(job_id) for job_id in self.durable - self.ended}
        assert left == {}
        assert [job_id for job_id, _ in self.leases.places if job_id not in self.ended] == []
        self._follow(self.leases.tick(*self._now()))
        self.all_actions_arrive()
        assert self.marks == {}

    def _end_all_that_runs(self) -> None:
        for engine in self.engines.values():
            for job_id, attempt in list(engine.running.items()):
                running = (job_id, attempt)
                if engine.id in self.dead or running not in engine.told_of or not engine.works_on(running):
                    continue
                if job_id in self.ended or attempt < self.attempts.get(job_id, 0):
                    continue
                engine.forget(running)
                self._end(job_id)
                self._follow(self.leases.released([Released(job_id, attempt)], *self._now()))


def _attempts(dispatches: Iterable[Dispatch]) -> list[JobAttempt]:
    return [(dispatch.job.id, dispatch.attempt) for dispatch in dispatches]


TestWorld = World.TestCase
TestWorld.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, report_multiple_bugs=False, derandomize=True
)
