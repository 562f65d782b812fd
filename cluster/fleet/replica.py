"""Engines that are wanted, by the machine that each is on and the model that it serves."""

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from cluster.catalogue import Model
from cluster.fleet.machine import Machine
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.machines import AdapterRefusal, EngineOrder, EngineReport, EngineState, Make
from cluster.messages.models import ReplicaView
from cluster.placement import Candidate

if TYPE_CHECKING:
    from cluster.fleet.served_model import ServedModel

FAILURE_MEMORY_S = 60.0


class Replica:
    """An engine that is wanted: where, what it last told, and what it works on.

    It is on its `node`, and has a part on each `further` machine: it goes with any of them.
    Whatever changes what placement makes of it gives it its new place in its model's ranking.
    """

    def __init__(
        self,
        engine_id: EngineId,
        model: Model,
        node: Machine,
        peers: "ServedModel",
        further: Sequence[Machine] = (),
        since_s: float = 0.0,
    ) -> None:
        self.id = engine_id
        self.model = model
        self.node = node
        self.machines = (node, *further)
        self.peers = peers
        self.report: EngineReport | None = None
        self.since_s = since_s
        """Since when it has been in its state."""
        self.tokens_of: dict[JobId, int] = {}
        self._unread: dict[JobId, int] = {}
        self.assigned_tokens = 0
        self.unreached_since_s: float | None = None
        self.retiring_since_s: float | None = None
        self.adapters: tuple[str, ...] = ()
        """Those that it has loaded."""
        self.told_of: Set[int] = frozenset()
        """The numbers of the adapters of which it has said whether it can generate with them."""
        self.makes_room = False
        """It is to end so that another one of its model can be where it is."""
        self.ready_since_s: float | None = None
        # The jobs that it did not list when it last told of itself, though it should have known of them.
        self.unlisted: set[JobId] = set()
        self._suspects: set[JobId] = set()
        self._failed_s: list[float] = []

    @property
    def node_id(self) -> NodeId:
        return self.node.id

    @property
    def state(self) -> EngineState:
        return self.report.state if self.report else "starting"

    @property
    def phase(self) -> str:
        """What it is doing while it starts."""
        return "its process is being started" if self.report is None else self.report.phase or "it loads"

    @property
    def is_outdated(self) -> bool:
        """Its model's settings have changed since it was made, or it is outgrown.

        One that has not told is taken to be as wanted.
        """
        return self._is_of_before or self.is_outgrown

    @property
    def _is_of_before(self) -> bool:
        return self._made_of.fingerprint != self.peers.make.fingerprint

    @property
    def is_outgrown(self) -> bool:
        """Its model's settings are as they were, and it has no room for one of the adapters."""
        if self.report is None or self._is_of_before:
            return False
        return self.peers.adapting.outgrows(self.report.refused)

    @property
    def booked(self) -> tuple[float, float]:
        """The GPUs and CPUs that it holds: what its model asked for when it was made."""
        return self._made_of.gpus, self._made_of.cpus

    @property
    def reads_as_wanted(self) -> bool:
        """Token ids mean to it what they mean by its model's settings now."""
        return self._made_of.vocabulary == self.peers.make.vocabulary

    def can_hand_on(self, tokens: int) -> bool:
        """Whether a job of so many tokens, prompt and answer, can go on at another one of its model."""
        context = self.peers.context_length
        return self.reads_as_wanted and (context is None or tokens <= context)

    # Adapters -----------------------------------------------------------------------------------------------------

    @property
    def order(self) -> EngineOrder:
        """What its node is to do with it: to keep it running, and to have it know its model's adapters."""
        restarts, adapters = self.peers.admins.restarts, self.peers.adapting.to_tell(self)
        return EngineOrder(self.id, self.model.id, restarts, adapters)

    def knows(self, number: int) -> bool:
        """Whether it can generate with the adapter of this number."""
        return self.report is not None and number in self.report.known

    def knows_all(self, numbers: Set[int]) -> bool:
        return self.report is not None and numbers <= set(self.report.known)

    def refusal(self, number: int) -> AdapterRefusal | None:
        """Why it cannot generate with this one, where it has said so."""
        refused = () if self.report is None else self.report.refused
        return next((each for each in refused if each.number == number), None)

    @property
    def _made_of(self) -> Make:
        return (self.report and self.report.made_of) or self.peers.make

    def join(self) -> None:
        """Be one of its machines' and its model's engines."""
        self.peers.replicas[self.id] = self
        for machine in self.machines:
            machine.replicas[self.id] = self
        self.retiring_since_s = next((m.draining_since_s for m in self.machines if m.draining), None)
        if self.retiring_since_s is None:
            self.peers.counted[self.id] = self
        self.rank()

    def reach(self, machines: Sequence[Machine]) -> None:
        """It has turned out where its further parts are."""
        self.machines = (self.node, *machines[1:])
        for machine in self.machines:
            machine.replicas[self.id] = self
            if machine.draining_since_s is not None:
                self.retire(machine.draining_since_s)
        self.rank()

    def leave(self) -> None:
        """Be none of them any more, and in no ranking."""
        del self.peers.replicas[self.id]
        for machine in self.machines:
            del machine.replicas[self.id]
        self.peers.counted.pop(self.id, None)
        self.peers.rolling.outdated.pop(self.id, None)
        self.peers.adapting.forget(self)
        self.peers.ranking.remove(self.id)
        self.peers.predictions.leave(self.id)
        self.peers.adapters.loaded(self.id, self.adapters, ())

    def retire(self, now_s: float) -> None:
        """Take no more work, and end once there is none left."""
        if self.retiring_since_s is None:
            self.retiring_since_s = now_s
            self.peers.counted.pop(self.id)
            self.peers.rolling.outdated.pop(self.id, None)
            self.peers.adapting.forget(self)
            self.rank()

    def make_room(self, now_s: float) -> None:
        """Retire for another one of its model, for which there is no room besides."""
        self.makes_room = True
        self.retire(now_s)

    def stay(self) -> None:
        """Retire no longer: there is work again."""
        self.retiring_since_s = None
        self.peers.counted[self.id] = self
        self.look_again()
        self.rank()

    @property
    def may_stay(self) -> bool:
        """It retires, and would be of use if it did not."""
        return self.retiring_since_s is not None and not (self.is_drained or self.is_outdated)

    @property
    def may_go(self) -> bool:
        """It is to end, or would if another model needed its place."""
        return self.retiring_since_s is not None or self.peers.can_spare_one

    def is_overdue(self, now_s: float, now_ms: int) -> bool:
        """It was to end its jobs by now."""
        if self.retiring_since_s is None:
            return False
        return now_s - self.retiring_since_s >= self.model.replicas.drain_s or self.leaves_soon(now_ms)

    def leaves_soon(self, now_ms: int) -> bool:
        """One of its machines is about to be taken away."""
        return any(machine.leaves_soon(now_ms) for machine in self.machines)

    @property
    def is_drained(self) -> bool:
        """One of its machines is to have no work."""
        return any(machine.draining for machine in self.machines)

    def hear(self, report: EngineReport, now_s: float) -> None:
        """Take in what the engine tells of itself."""
        if report.state != self.state:
            self.since_s = now_s
        before, self.report = self.report, report
        self.told_of = frozenset((*report.known, *(each.number for each in report.refused)))
        self.peers.hear(report, self.is_outdated)
        self.look_again()
        if report.adapters != self.adapters:
            self.peers.adapters.loaded(self.id, self.adapters, report.adapters)
            self.adapters = report.adapters
        if report.state == "ready" and self.ready_since_s is None:
            self.ready_since_s = now_s
            self.peers.predictions.join(self.id, report.cache_tokens, report.block_tokens)
        if before is None or (before.state, before.slots) != (report.state, report.slots):
            self.rank()

    def look_again(self) -> None:
        """What it tells of itself has changed, or what its model wants: it may be behind that, or not any more."""
        if self.id not in self.peers.counted:
            return
        self.peers.adapting.look_at(self)
        if self.is_outdated:
            self.peers.rolling.outdated[self.id] = self
        else:
            self.peers.rolling.outdated.pop(self.id, None)

    def assign(self, job_id: JobId, tokens: int, suspect: bool = False, unread: int = 0) -> None:
        """Count a job, of about so many tokens, among those that the engine works on. So many are `unread` prompt."""
        self.tokens_of[job_id] = tokens
        self.assigned_tokens += tokens
        if unread:
            self._unread[job_id] = unread
        if suspect:
            self._suspects.add(job_id)
        self.rank()

    def has_read(self, job_id: JobId) -> None:
        """The engine has told a token of this job: its prompt is no work any more."""
        if unread := self._unread.pop(job_id, 0):
            self.tokens_of[job_id] -= unread
            self.assigned_tokens -= unread
            self.rank()

    def release(self, job_id: JobId) -> None:
        """The engine does not work on this job any more."""
        self._unread.pop(job_id, None)
        if job_id in self.tokens_of:
            self.assigned_tokens -= self.tokens_of.pop(job_id)
            self.peers.ended += 1
        self._suspects.discard(job_id)
        self.rank()

    def note_unreached(self, now_s: float) -> None:
        """Calls to the engine fail, and may succeed again: it gets no more work until one does."""
        if self.unreached_since_s is None:
            self.unreached_since_s = now_s
            self.rank()

    def note_reached(self) -> None:
        if self.unreached_since_s is not None:
            self.unreached_since_s = None
            self.rank()

    def note_failure(self, now_s: float) -> None:
        """The engine has failed a job."""
        self._failed_s.append(now_s)
        self.rank()

    def forget_failures(self, now_s: float) -> None:
        """Failures count for a minute."""
        if self._failed_s and self._failed_s[0] <= now_s - FAILURE_MEMORY_S:
            self._failed_s = [failed_s for failed_s in self._failed_s if failed_s > now_s - FAILURE_MEMORY_S]
            self.rank()

    def rank(self) -> None:
        """Take the place that is due now. One that has left stays out."""
        if self.peers.replicas.get(self.id) is self:
            self.peers.ranking.put(self.candidate())

    def view(self, now_s: float, now_ms: int) -> ReplicaView:
        """This engine, as clients are told of it."""
        return ReplicaView(
            id=self.id,
            node_id=self.node.id,
            state=self.state,
            since_ms=now_ms - round((now_s - self.since_s) * 1000),
            running=len(self.tokens_of),
            slots=self.report.slots if self.report else 0,
            phase=self.phase if self.state == "starting" else "",
            retiring=self.retiring_since_s is not None,
            outdated=self.is_outdated,
        )

    def candidate(self) -> Candidate:
        """This engine, as placement looks at it."""
        report = self.report
        return Candidate(
            engine_id=self.id,
            node_id=self.node.id,
            ready=report is not None and report.state == "ready",
            online=all(machine.online for machine in self.machines),
            draining=self.retiring_since_s is not None,
            running=len(self.tokens_of),
            slots=report.slots if report else 0,
            assigned_tokens=self.assigned_tokens,
            recent_failures=len(self._failed_s),
            reached=self.unreached_since_s is None,
            has_suspect=bool(self._suspects),
        )
