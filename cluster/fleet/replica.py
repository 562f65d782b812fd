"""Engines that are wanted, by the machine that each is on and the model that it serves."""

from cluster.catalogue import Model
from cluster.fleet.machine import Machine
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineReport, EngineState
from cluster.placement import Candidate, Ranking


class ModelReplicas:
    """The engines of one model. `lasting` are those that are not on nodes being drained."""

    def __init__(self, model: str) -> None:
        self.replicas: dict[EngineId, Replica] = {}
        self.lasting: dict[EngineId, Replica] = {}
        self.ranking = Ranking(model)

    def ready(self) -> "list[Replica]":
        return [replica for replica in self.replicas.values() if replica.state == "ready"]


class Replica:
    """An engine that is wanted: where, what it last told, and what it works on.

    Whatever changes what placement makes of it gives it its new place in its model's ranking.
    """

    def __init__(self, engine_id: EngineId, model: Model, node: Machine, siblings: ModelReplicas) -> None:
        self.id = engine_id
        self.model = model
        self.node = node
        self.siblings = siblings
        self.report: EngineReport | None = None
        self.tokens_of: dict[str, int] = {}
        self.outstanding_tokens = 0

    @property
    def node_id(self) -> NodeId:
        return self.node.id

    @property
    def state(self) -> EngineState:
        return self.report.state if self.report else "starting"

    def join(self) -> None:
        """Be one of its node's and its model's engines."""
        self.node.replicas[self.id] = self.siblings.replicas[self.id] = self
        if not self.node.draining:
            self.siblings.lasting[self.id] = self
        self.rank()

    def leave(self) -> None:
        """Be none of them any more, and in no ranking."""
        del self.node.replicas[self.id], self.siblings.replicas[self.id]
        self.siblings.lasting.pop(self.id, None)
        self.siblings.ranking.remove(self.id)

    def hear(self, report: EngineReport) -> None:
        """Take in what the engine tells of itself."""
        before, self.report = self.report, report
        if before is None or (before.state, before.slots) != (report.state, report.slots):
            self.rank()

    def take(self, job_id: str, tokens: int) -> None:
        """Count a job, of about so many tokens, among those that the engine works on."""
        self.tokens_of[job_id] = tokens
        self.outstanding_tokens += tokens
        self.rank()

    def release(self, job_id: str) -> None:
        """The engine does not work on this job any more."""
        self.outstanding_tokens -= self.tokens_of.pop(job_id, 0)
        self.rank()

    def rank(self) -> None:
        """Take the place that is due now. One that has left stays out."""
        if self.siblings.replicas.get(self.id) is self:
            self.siblings.ranking.put(self.candidate())

    def candidate(self) -> Candidate:
        """This engine, as placement looks at it."""
        return Candidate(
            engine_id=self.id,
            node_id=self.node.id,
            model=self.model.id,
            ready=self.state == "ready",
            online=self.node.online,
            draining=self.node.draining,
            running=len(self.tokens_of),
            slots=self.report.slots if self.report else 0,
            outstanding_tokens=self.outstanding_tokens,
            recent_failures=0,
        )
