"""Which job runs where and when. What is to be done is decided in `cluster/leases/leases.py`; this carries it out."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import asdict, replace

from actors.backends.failures import one_line
from actors.scheduling.errands import Errands
from actors.scheduling.job_spans import JobSpans
from actors.wire.calls import AWAY, tell, within
from actors.wire.every import Every
from actors.wire.handing_in import HandingIn
from actors.wire.role import Role
from cluster import acceptance
from cluster.added import Overruled
from cluster.catalogue import Catalogue, Model
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import InfernetError, NoCapacity, Superseded
from cluster.fleet.alarms import Alarms
from cluster.fleet.fleet import Fleet
from cluster.fleet.gpu_memory import Demand
from cluster.ids import EngineId, JobId, NodeId, new_holder_id
from cluster.leases import standings
from cluster.leases.actions import Action, Fail
from cluster.leases.leases import Leases
from cluster.liveness.attention import AttendedTime
from cluster.liveness.roles import SCHEDULER_ROLE, Roles
from cluster.measures.activity import MINUTE_MS, ActiveMinute, Activity
from cluster.measures.tallies import CACHE_TOKENS, Tallies
from cluster.messages.explanations import Standing
from cluster.messages.machines import ModelView, NodeOrders, NodeReport, NodeView
from cluster.messages.models import ModelDetail, ModelSettings
from cluster.messages.people import ShareMark
from cluster.messages.seats import ClusterReport, SeatOrder
from cluster.messages.work import Accepted, Job, OpenJob, Released, Submission
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.journal import Journal
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)


class Seats(Protocol):
    """The places for engines that the cluster keeps, and its machines."""

    async def see_to(self, orders: Sequence[SeatOrder], unwanted: Iterable[EngineId]) -> ClusterReport:
        """Make the seats that are ordered and not there, remove the unwanted ones, and tell of all that there are."""
        ...


class Scheduler:
    """Sole owner of queue and leases. What it loses with its process it has again from the Ledger and the nodes."""

    def __init__(
        self,
        catalogue: Catalogue,
        ledger: "Ledger",
        journal: "Journal",
        engine: Callable[[EngineId], "Engine"],
        known_engines: Callable[[], Sequence[EngineId]],
        seats: Seats,
        clock: Clock = SYSTEM_CLOCK,
        timing: Timing = Timing(),
        on_superseded: Callable[[], None] = lambda: None,
        measure: Callable[[Model], Demand | None] | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._ledger = ledger
        self._journal = journal
        self._engine = engine
        self._known_engines = known_engines
        self._seats = seats
        self._clock = clock
        self._timing = timing
        self._on_superseded = on_superseded
        self._measure = measure
        self._attended = AttendedTime(timing.tick_s, timing.late_s)
        self._activity = Activity()
        self._alarms = Alarms()
        self._alarming: asyncio.Task[None] | None = None
        self._tallies = Tallies(new_holder_id())
        self._handing_in = HandingIn(self._tallies, ledger, timing, before=self._count_cached)
        self._idle = asyncio.Event()
        self._agents = Roles()
        # Who waits for the next report of a node.
        self._heard: dict[NodeId, asyncio.Event] = {}
        self.ticking = Every(timing.tick_s, self._tick, "a tick")
        self.surveying = Every(timing.survey_s, self._survey, "seeing to the seats")
        self.comparing = Every(timing.compare_s, self._compare, "comparing with the Ledger")
        self.role = Role(SCHEDULER_ROLE, ledger, self._superseded, clock, timing)
        self._begin((), (), (), ())

    async def start(self) -> None:
        """Take up every job that has not ended, then keep time."""
        await self.role.take()
        existing = await asyncio.to_thread(self._known_engines)
        marks = await self._ledger.share_marks()
        self._begin(existing, await self._ledger.open_jobs(), marks, await self._ledger.model_settings())
        self._alarms = Alarms(await self._ledger.known(), self._now_s(), self._timing)
        await self.learn_weights()
        self.role.start()
        self.ticking.start()
        self.surveying.start()
        self.comparing.start()
        self._handing_in.start()
        tell(self._measure_all(), "finding out what models take of GPUs' memory")

    def _begin(
        self,
        existing: Iterable[EngineId],
        open_jobs: Iterable[OpenJob],
        marks: Iterable[ShareMark],
        admins: Iterable[ModelSettings],
    ) -> None:
        unmeasured = [model.id for model in self._to_measure()]
        self.fleet = Fleet(self._catalogue, existing, self._now_s(), self._timing, unmeasured, admins)
        self._tell_overruled()
        self.leases = Leases(self.fleet, self._timing, open_jobs, marks)
        self._spans = JobSpans(open_jobs)
        self._errands = Errands(
            self.leases,
            self._ledger,
            self._journal,
            self._engine,
            self._now,
            self._timing,
            self.role.holder,
            self._spans,
        )

    async def stop(self) -> None:
        self._stop_keeping_time()
        self.role.stop()

    def _superseded(self) -> None:
        """Nodes report to another one by now, and it would take their silence for their death."""
        self.leases.quiescent = True
        self._stop_keeping_time()
        self._on_superseded()

    def _stop_keeping_time(self) -> None:
        for every in (self.ticking, self.surveying, self.comparing, self._handing_in.loop):
            every.stop()

    def _count_cached(self) -> None:
        """Count what of prompts was expected in engines' caches, and what was found there."""
        for model in self._catalogue.models:
            if (predictions := self.fleet.models.predictions(model.id)) is not None:
                for kind, tokens in asdict(predictions.totals).items():
                    self._tallies.reach(CACHE_TOKENS, model.id, kind, total=tokens)

    # The ingress asks ---------------------------------------------------------------------------------------------

    async def submit(self, submissions: Sequence[Submission]) -> list[Accepted | InfernetError]:
        """Accept each job, durably, or say why not. Repeating a call changes nothing."""
        refusals = await self._refusals(submissions)
        wanted = [self._timed(s) for s in submissions if s.job.id not in refusals]
        begun = self.leases.submitted(wanted, self._clock.wall_ms())
        refusals |= begun.refused
        taken = [s for s in wanted if s.job.id not in refusals]
        self._spans.submitted(s.job for s in taken)
        self._carry_out(begun.orders)
        try:
            await asyncio.sleep(0)  # orders leave first: the first token waits for them, and nobody yet for the Ledger
            created = await self._ledger.create(taken, begun.placed)
            answers = dict(zip((s.job.id for s in taken), created, strict=True))
            self._carry_out(self.leases.confirmed([s.job for s in taken if _is_created(s.job, answers[s.job.id])]))
        finally:
            self._carry_out(self.leases.answered(wanted))
            self._spans.refused(s.job.id for s in taken if s.job.id not in self.leases.places)
            self._errands.answered(placed.job_id for placed in begun.placed)
        self._carry_out(self.leases.dispatched(self._clock.wall_ms()))
        return [refusals.get(s.job.id) or answers[s.job.id] for s in submissions]

    def _timed(self, submission: Submission) -> Submission:
        """The job begins now, and has as long as it was given. Clocks of other machines may be wrong by minutes."""
        job, now_ms = submission.job, self._clock.wall_ms()
        timed = replace(job, created_ms=now_ms, deadline_ms=now_ms + job.deadline_ms - job.created_ms)
        if job.adapter:
            timed = replace(timed, adapter_number=self.fleet.models.adapter_number(job.model, job.adapter))
        return replace(submission, job=timed)

    async def explain(self, job_id: JobId) -> Standing | None:
        """How this job stands now; None of one that has ended."""
        return standings.standing(job_id, self.leases.places, self.fleet, self._now_s())

    async def cancel(self, job_id: JobId) -> None:
        """End a job as cancelled; its engine stops. Returns once that is durable; a job that has ended stays so."""
        if job_id not in self.leases.places:
            return
        actions = self.leases.cancelled(job_id, self._clock.wall_ms())
        self._carry_out(action for action in actions if not isinstance(action, Fail))
        await asyncio.gather(*(self._errands.fail(action.failures) for action in actions if isinstance(action, Fail)))

    async def learn_weights(self) -> None:
        """Ask the Ledger for the accounts' shares again: they have changed, or may have."""
        self.leases.places.queue.weigh(await self._ledger.weights())

    async def learn_model_settings(self) -> None:
        """Ask the Ledger again for what admins have set of models: it has changed, or may have."""
        overruled = self.fleet.models.overruled
        if self.fleet.models.set(await self._ledger.model_settings()):
            self.ticking.hasten()
        self._tell_overruled(overruled)

    def _tell_overruled(self, told: Sequence[Overruled] = ()) -> None:
        for each in self.fleet.models.overruled:
            if each not in told:
                logger.warning("model %s is without the adapter %s: %s", each.model, each.adapter.id, each.reason)

    async def adapted(self, model: str, adapter: str) -> None:
        """Return once every engine of the model that serves has said what it makes of this adapter, or in a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timing.adapt_s):
                while self.fleet.models.awaits(model, adapter):
                    await self.ticking.taken()

    async def model(self, model: str) -> ModelDetail | None:
        """All that is known of this model. None of one that the catalogue does not list."""
        queued, now_ms = self.leases.places.queue.waiting_for(model), self._clock.wall_ms()
        return self.fleet.models.detail(model, queued, self._now_s(), now_ms)

    async def models(self) -> list[ModelView]:
        queued = {model.id: self.leases.places.queue.waiting_for(model.id) for model in self._catalogue.models}
        return self.fleet.models.views(queued, self._now_s())

    async def activity(self, minutes: int) -> list[ActiveMinute]:
        """What was seen of the last so many minutes, also the current one; not of those in which nobody looked."""
        return self._activity.since(self._clock.wall_ms() // MINUTE_MS - minutes + 1)

    async def ready_engines(self, model: str) -> list[EngineId]:
        """The model's engines that can be asked something."""
        return self.fleet.ready(model)

    async def has_looked_for_room(self) -> bool:
        """Whether it is known of every model if there is room for it."""
        return self.fleet.has_looked_for_room

    async def nodes(self) -> list[NodeView]:
        return self.fleet.node_views()

    async def drain_node(self, node_id: NodeId, drains: bool) -> None:
        """Place nothing more on this node, or have it take work again.

        What the engines of one that is drained have not ended in time (`Replicas.drain_s`) goes on elsewhere. Returns
        once the node knows of it, which tells the next Scheduler, or is silent.
        """
        self._carry_out(self.leases.drained(node_id, drains, *self._now()))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timing.offline_after_s):
                while not self.fleet.has_told_of_draining(node_id):
                    await self._heard.setdefault(node_id, asyncio.Event()).wait()

    async def ready(self) -> None:
        """Raises NoCapacity when no job is taken any more, whatever it asks for."""
        if self.leases.quiescent:
            raise acceptance.shutting_down()

    async def quiesce(self, within_s: float) -> bool:
        """Take and place no more jobs, and wait for those that run. True when none is left; the rest stays queued."""
        self.leases.quiescent = True
        await self._miss_nobody()
        try:
            async with asyncio.timeout(within_s):
                while not self.leases.idle:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _miss_nobody(self) -> None:
        """What goes with the system is missed by nobody, and nothing that failed counts for the next one."""
        try:
            await within(self._timing.database_s, self._forget_all(), "the Ledger")
        except (*AWAY, Superseded) as error:
            logger.warning("the next start may miss nodes that end with this system: %s", error)

    async def _forget_all(self) -> None:
        if self._alarming is not None:
            await asyncio.wait([self._alarming])
        self._alarms.end()
        await self._tell_alarms()

    async def _refusals(self, submissions: Sequence[Submission]) -> dict[JobId, InfernetError]:
        """Why jobs are not accepted, by their ids. A budget without room comes before a lack of capacity."""
        jobs = [submission.job for submission in submissions if submission.job.id not in self.leases.places]
        refusals = acceptance.refusals(jobs, self.fleet.models.offered, self.leases, self._now_s())
        for_capacity = [s for s in submissions if isinstance(refusals.get(s.job.id), NoCapacity)]
        if for_capacity:
            refusals |= await self._ledger.over_budget(for_capacity)
        return refusals

    # Nodes, engines and the Journal tell --------------------------------------------------------------------------

    async def report(self, report: NodeReport) -> NodeOrders:
        """A node's heartbeat. Returns all that it is to do."""
        if not self._agents.hold(report.node_id, report.agent, report.begins):
            return NodeOrders(superseded=True)
        self._carry_out(self.leases.reported(report, *self._now()))
        if heard := self._heard.pop(report.node_id, None):
            heard.set()
        return self.fleet.orders(report.node_id)

    async def released(self, released: Sequence[Released]) -> None:
        """These attempts have ended their jobs, durably."""
        self._spans.released(released, self.leases.is_ending)
        self._carry_out(self.leases.released(released, *self._now()))

    async def engine_lost(self, engine_id: EngineId) -> None:
        """This engine is dead; what it worked on goes on elsewhere."""
        self._errands.lose(engine_id)
        self._note_idle()

    async def engine_unreached(self, engine_id: EngineId) -> None:
        """Calls to this engine fail that may succeed again."""
        self._carry_out(self.leases.unreached(engine_id, (), *self._now()))

    # Again and again ----------------------------------------------------------------------------------------------

    def _to_measure(self) -> list[Model]:
        return [] if self._measure is None else [model for model in self._catalogue.models if model.gpus]

    async def _measure_all(self) -> None:
        """Find out what engines take of GPUs' memory, which may have to be asked of the hub."""
        await asyncio.gather(*map(self._measure_one, self._to_measure()))

    async def _measure_one(self, model: Model) -> None:
        assert self._measure is not None
        demand = None
        try:
            async with asyncio.timeout(self._timing.measure_s):
                demand = await asyncio.to_thread(self._measure, model)
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine will tell whether there is enough
            logger.warning("model %s: what it takes of GPUs' memory is not known: %s", model.id, one_line(error))
        self.fleet.measured(model.id, demand)
        self.surveying.hasten()

    async def _tick(self) -> None:
        self._carry_out(self.leases.tick(*self._now()))
        places = self.leases.places
        self._activity.note(self._clock.wall_ms(), len(places.queue), places.working, places.generated)
        self._look_for_alarms()

    def _look_for_alarms(self) -> None:
        if self.leases.quiescent:
            return  # the system ends, and its nodes before this
        models = self.fleet.models
        self._alarms.look(self.fleet.node_statuses(), models.states(), models.makes(), *self._now())
        if self._alarms.news is not None and (self._alarming is None or self._alarming.done()):
            self._alarming = tell(self._tell_alarms(), "ledger.happened")

    async def _tell_alarms(self) -> None:
        """Tried again at the next tick where it fails."""
        if (news := self._alarms.news) is not None:
            await self._ledger.happened(news.events, news.known, self.role.holder)
            self._alarms.told(news)

    async def _survey(self) -> None:
        """Have the cluster keep the seats that there are to be, and hear of its machines."""
        report = await self._seats.see_to(self.fleet.seat_orders(), self.fleet.unwanted_seats())
        self._alarms.survey(report)
        self._carry_out(self.leases.surveyed(report, *self._now()))

    async def _compare(self) -> None:
        """Take up jobs that the Ledger has open and nobody here knows of, and drop those that have ended."""
        await self.learn_weights()
        if self.fleet.models.keeps_removed_adapters:
            await self._ledger.forget_adapters()
        await self.learn_model_settings()
        self._carry_out(self.leases.attached())
        held = self.leases.durable()
        open_attempts = await self._ledger.open_attempts()
        now_ms = self._clock.wall_ms()
        ended = held - {job_id for job_id, _, _ in open_attempts}
        self._carry_out(self.leases.ended(ended, now_ms))
        self._spans.refused(ended)
        if strays := self.leases.strays(open_attempts, now_ms):
            logger.warning("%d jobs that the Ledger has open are taken up", len(strays))
            self._carry_out(self.leases.taken_up(await self._ledger.open_jobs(strays)))
        self.leases.places.queue.compare_shares(await self._ledger.share_marks())

    def _carry_out(self, actions: Iterable[Action]) -> None:
        self._errands.carry_out(actions)
        self._note_idle()
        if self.fleet.wants_survey:
            self.surveying.hasten()

    def _note_idle(self) -> None:
        if self.leases.idle:
            self._idle.set()

    def _now(self) -> tuple[float, int]:
        return self._now_s(), self._clock.wall_ms()

    def _now_s(self) -> float:
        return self._attended.at(self._clock.monotonic_s())


def _is_created(job: Job, answer: Accepted | InfernetError) -> bool:
    """Whether the answer is of this job, and not of one that was submitted before it."""
    return isinstance(answer, Accepted) and answer.id == job.id
