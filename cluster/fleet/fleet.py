"""Nodes, the engines on them, and which engines there ought to be.

Nodes report everything, each time, and are told everything they are to run, each time: a report or an order that is
lost is made good by the next one.
"""

from collections.abc import Collection, Iterable

from msgspec import Struct

from cluster.catalogue import Catalogue, Model
from cluster.fleet.backoff import StartBackoff
from cluster.fleet.machine import Machine
from cluster.fleet.replica import ModelReplicas, Replica
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import (
    EngineOrder,
    EngineReport,
    ModelState,
    ModelView,
    NodeOrders,
    NodeReport,
    NodeStatus,
    NodeView,
)
from cluster.placement import Ranking
from cluster.queue import LaneId
from cluster.timing import Timing


class Change(Struct, frozen=True):
    """What a report or the passing of time changed: engines that became ready, and engines that are gone.

    `joined`: the machine was not there before.
    """

    ready: tuple[EngineReport, ...] = ()
    lost: tuple[EngineId, ...] = ()
    joined: bool = False


class Fleet:
    """Sole owner of what is known of nodes and engines. `existing` engines are waited for before new ones are made."""

    def __init__(
        self, catalogue: Catalogue, existing: Iterable[EngineId], now_s: float, timing: Timing = Timing()
    ) -> None:
        self._catalogue = catalogue
        self._nodes: dict[NodeId, Machine] = {}
        self._replicas: dict[EngineId, Replica] = {}
        self._model_replicas = {model.id: ModelReplicas() for model in catalogue.models}
        self._backoffs = {model.id: StartBackoff() for model in catalogue.models}
        self._next_number = _first_free_number(existing)
        self._unseen = set(existing)
        self._dead: set[EngineId] = set()
        self._contexts = {model.id: _declared_context(model) for model in catalogue.models}
        self._offline_after_s = timing.offline_after_s
        self._settle_by_s = now_s + timing.settle_s

    # What happens -------------------------------------------------------------------------------------------------

    def report(self, report: NodeReport, now_s: float, now_ms: int) -> Change:
        """Take in a heartbeat."""
        node = self._nodes.setdefault(report.node_id, Machine(report.node_id))
        joined = not node.online
        node.hear(report, now_s, now_ms)
        ready = [engine for engine in report.engines if self._take_in(engine)]
        failed = [engine.id for engine in report.engines if self._note_failure(engine, now_s)]
        vanished = _vanished(node, report) if report.complete else []
        return Change(tuple(ready), (*failed, *vanished), joined)

    def expire(self, now_s: float) -> Change:
        """Nodes not heard of for long are offline, and their engines gone. Old failures of engines are forgotten."""
        for replica in self._replicas.values():
            replica.forget_failures(now_s)
        for node in self._nodes.values():
            node.turn(online=now_s - node.heard_s < self._offline_after_s)
        silent = [node for node in self._nodes.values() if not node.online]
        return Change(lost=tuple(engine_id for node in silent for engine_id in node.replicas))

    def drop(self, engine_id: EngineId) -> Replica | None:
        """Count on this engine no longer. Unless it is adopted again, its node stops what is left of it."""
        self._unseen.discard(engine_id)
        replica = self._replicas.pop(engine_id, None)
        if replica is not None:
            replica.leave()
        return replica

    def never_adopt(self, engine_id: EngineId) -> None:
        """This engine is dead, whatever its node has yet to notice."""
        self._dead.add(engine_id)

    def drain(self, node_id: NodeId) -> None:
        """Give this node no more work; what it has it ends. An unknown node is ignored."""
        if node := self._nodes.get(node_id):
            node.drain()

    def plan(self, now_s: float) -> None:
        """Drop the engines that have been drained, and order those that are missing, where there is room."""
        for node in self._nodes.values():
            if node.draining:
                self._drop_drained(node)
        if not self.settled(now_s) or not self._nodes:
            return
        for model in self._catalogue.models:
            backoff = self._backoffs[model.id]
            missing = model.replicas.min - len(self._model_replicas[model.id].counted)
            if now_s >= backoff.retry_at_s:
                self._order(model, missing, backoff, now_s)

    def settled(self, now_s: float) -> bool:
        """Every engine that ran before this began has been heard of, or has had its time to be."""
        return not self._unseen or now_s >= self._settle_by_s

    # What is asked ------------------------------------------------------------------------------------------------

    def orders(self, node_id: NodeId) -> NodeOrders:
        """All that this node is to do."""
        node = self._nodes[node_id]
        return NodeOrders(tuple(EngineOrder(r.id, r.model.id) for r in node.replicas.values()), node.draining)

    @property
    def replicas(self) -> Collection[Replica]:
        """All engines that are wanted."""
        return self._replicas.values()

    def ready(self) -> list[EngineId]:
        """The engines that can be given jobs, as far as they themselves tell."""
        return [replica.id for replica in self._replicas.values() if replica.state == "ready"]

    def unreached(self) -> list[Replica]:
        """The engines to which calls fail that may succeed again."""
        return [replica for replica in self._replicas.values() if replica.unreached_since_s is not None]

    def replica(self, engine_id: EngineId) -> Replica | None:
        return self._replicas.get(engine_id)

    def ranking(self, model: str) -> Ranking:
        """The engines of this model, the best first. None of a model that the catalogue does not list."""
        peers = self._model_replicas.get(model)
        return Ranking() if peers is None else peers.ranking

    def best(self, lane: LaneId) -> Replica | None:
        """The engine that the next job of this lane goes to; None when none can take it now."""
        best = self.ranking(lane.model).best(lane.node_id, lane.suspect)
        return None if best is None else self._replicas[best.engine_id]

    def serves(self, model: str) -> bool:
        """Whether an engine of this model is ready."""
        return bool(self._model_replicas[model].ready())

    def _is_coming(self, model: str) -> bool:
        """Whether an engine that starts, or is about to, is expected to come up."""
        backoff = self._backoffs[model]
        return backoff.is_hopeful and (bool(self._model_replicas[model].counted) or backoff.is_pausing)

    def context_length(self, model: str) -> int | None:
        """The model's context in tokens, as its engines told or the catalogue says; None before either has."""
        return self._contexts[model]

    def knows_node(self, node_id: NodeId) -> bool:
        return node_id in self._nodes

    def online(self, node_id: NodeId) -> bool:
        return node_id in self._nodes and self._nodes[node_id].online

    def can_serve(self, model: str, node_id: NodeId | None, now_s: float) -> bool:
        """An engine of this model is ready (on this node), or may become so, or it is too early to say.

        An engine that starts after several have failed is not counted on.
        """
        if not self.settled(now_s) or (not self._nodes and node_id is None):
            return True
        if node_id is None and self._is_coming(model):
            return True
        hopeful = self._backoffs[model].is_hopeful
        there = self._model_replicas[model].counted.values() if node_id is None else self._counted_on(node_id, model)
        return any(hopeful or replica.state == "ready" for replica in there)

    def has_replica(self, model: str, node_id: NodeId) -> bool:
        """Whether this node has, or is to have, an engine of this model that may take more work."""
        return bool(self._counted_on(node_id, model))

    def without_room(self, now_s: float, grace_s: float) -> list[str]:
        """The models that have fitted no machine for longer than `grace_s`."""
        return [
            model
            for model, backoff in self._backoffs.items()
            if backoff.no_room_since_s is not None and now_s - backoff.no_room_since_s > grace_s
        ]

    def model_views(self, queued: dict[str, int]) -> list[ModelView]:
        return [self._model_view(model, queued.get(model.id, 0)) for model in self._catalogue.models]

    def node_views(self) -> list[NodeView]:
        return [self._node_view(node) for node in self._nodes.values()]

    # Inside -------------------------------------------------------------------------------------------------------

    def _take_in(self, engine: EngineReport) -> bool:
        """Note what an engine tells; true when that makes it ready."""
        self._unseen.discard(engine.id)
        replica = self._replicas.get(engine.id) or self._adopt(engine)
        if replica is None or engine.state not in ("starting", "ready"):
            return False
        became_ready = engine.state == "ready" and replica.state != "ready"
        replica.hear(engine)
        self._contexts[engine.model] = engine.context_length or self._contexts[engine.model]
        if became_ready:
            self._backoffs[engine.model] = StartBackoff(has_served=True)
        return became_ready

    def _note_failure(self, engine: EngineReport, now_s: float) -> bool:
        """Keep why an ordered engine failed; true when it did."""
        if engine.state != "failed" or engine.id not in self._replicas:
            return False
        self._backoffs[engine.model].failed(engine.message, now_s)
        return True

    def _adopt(self, engine: EngineReport) -> Replica | None:
        """Keep an engine that nobody here ordered, if one like it is wanted."""
        model = self._catalogue.find(engine.model)
        if model is None or engine.id in self._dead or engine.state not in ("starting", "ready"):
            return None
        if not self._wants(model, engine):
            return None
        self._backoffs[model.id].found_room()
        self._next_number = max(self._next_number, _first_free_number([engine.id]))
        return self._join(engine.id, model, self._nodes[engine.node_id])

    def _wants(self, model: Model, engine: EngineReport) -> bool:
        """One more of this model is wanted; or its node is being drained, and it has jobs to end."""
        if self._nodes[engine.node_id].draining:
            return bool(engine.running)
        return len(self._model_replicas[model.id].counted) < model.replicas.min

    def _join(self, engine_id: EngineId, model: Model, node: Machine) -> Replica:
        replica = self._replicas[engine_id] = Replica(engine_id, model, node, self._model_replicas[model.id])
        replica.join()
        return replica

    def _drop_drained(self, node: Machine) -> None:
        for replica in [r for r in node.replicas.values() if not r.tokens_of]:
            self.drop(replica.id)

    def _order(self, model: Model, missing: int, backoff: StartBackoff, now_s: float) -> None:
        """Order as many of the missing engines as there is room for. Where one finds none, no other does."""
        for _ in range(missing):
            node = self._roomiest(model)
            if node is None:
                backoff.no_room(self._no_room_message(model), now_s)
                return
            backoff.found_room()
            engine_id = EngineId(f"{model.id}/{self._next_number}")
            self._next_number += 1
            self._join(engine_id, model, node)

    def _roomiest(self, model: Model) -> Machine | None:
        fitting = [n for n in self._nodes.values() if n.takes_work and self._fits(model, n)]
        return max(fitting, key=self._free, default=None)

    def _fits(self, model: Model, node: Machine) -> bool:
        gpus, cpus = self._free(node)
        return model.gpus <= gpus and model.cpus <= cpus

    def _free(self, node: Machine) -> tuple[float, float]:
        """GPUs and CPUs of this node that no ordered engine holds."""
        held = [r.model for r in node.replicas.values()]
        gpus = node.hardware.gpu_count - sum(model.gpus for model in held)
        return gpus, node.hardware.cpus - sum(model.cpus for model in held)

    def _no_room_message(self, model: Model) -> str:
        most_gpus = max((n.hardware.gpu_count for n in self._nodes.values() if n.takes_work), default=0)
        most_cpus = max((n.hardware.cpus for n in self._nodes.values() if n.takes_work), default=0.0)
        return (
            f"needs {model.gpus} GPUs and {model.cpus:g} CPUs free on one machine; "
            f"the largest here has {most_gpus} GPUs and {most_cpus:g} CPUs in all"
        )

    def _counted_on(self, node_id: NodeId, model: str) -> list[Replica]:
        node = self._nodes.get(node_id)
        return [] if node is None or node.draining else node.of_model(model)

    def _model_view(self, model: Model, queued: int) -> ModelView:
        ready = self._model_replicas[model.id].ready()
        backoff = self._backoffs[model.id]
        failed = bool(backoff.message) and not self._is_coming(model.id)
        state: ModelState = "ready" if ready else "failed" if failed else "starting"
        return ModelView(
            id=model.id,
            state=state,
            fits=backoff.no_room_since_s is None,
            message=backoff.message,
            nodes=len({r.node_id for r in ready if self.online(r.node_id)}),
            replicas=len(ready),
            queued=queued,
            context_length=self._contexts[model.id] or 0,
        )

    def _node_view(self, node: Machine) -> NodeView:
        engines = tuple(r.report for r in node.replicas.values() if r.report is not None)
        status: NodeStatus = "offline" if not node.online else "draining" if node.draining else "online"
        return NodeView(node.id, status, node.heard_ms, node.hardware, engines)


def _vanished(node: Machine, report: NodeReport) -> list[EngineId]:
    reported = {engine.id for engine in report.engines}
    return [r.id for r in node.replicas.values() if r.report is not None and r.id not in reported]


def _first_free_number(engines: Iterable[EngineId]) -> int:
    """Engine numbers are never used twice while an engine of that number may still run."""
    return max((int(engine_id.rpartition("/")[2]) for engine_id in engines), default=-1) + 1


def _declared_context(model: Model) -> int | None:
    """What the catalogue says of the model's context, in the words of its backend."""
    declared = model.engine.get(model.traits.context_option)
    return declared if isinstance(declared, int) else None
