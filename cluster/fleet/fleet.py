"""Nodes, the engines on them, and which engines there are to be.

Nodes report everything, each time, and are told everything they are to run, each time: a report or an order that is
lost is made good by the next one.
"""

from collections.abc import Callable, Collection, Iterable
from functools import partial

from msgspec import Struct

from cluster.catalogue import Catalogue, Model
from cluster.fleet import room
from cluster.fleet.backoff import StartBackoff
from cluster.fleet.machine import Machine
from cluster.fleet.replica import Replica
from cluster.fleet.served_model import ServedModel
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import (
    EngineOrder,
    EngineReport,
    ModelView,
    NodeOrders,
    NodeReport,
    NodeStatus,
    NodeView,
)
from cluster.placement import NOTHING, Cached, Ranking
from cluster.prefixes.predictions import Predictions
from cluster.queue import LaneId, Prefer
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
        self._nodes: dict[NodeId, Machine] = {}
        self._replicas: dict[EngineId, Replica] = {}
        self._models = {model.id: ServedModel(model, timing.scaling_window_s) for model in catalogue.models}
        self._next_number = _first_free_number(existing)
        self._unseen = set(existing)
        self._ended: set[EngineId] = set()
        self._offline_after_s = timing.offline_after_s
        self._seat_s = timing.seat_s
        self._settle_by_s = now_s + timing.settle_s

    # What happens -------------------------------------------------------------------------------------------------

    def report(self, report: NodeReport, now_s: float, now_ms: int) -> Change:
        """Take in a heartbeat."""
        node = self._nodes.setdefault(report.node_id, Machine(report.node_id))
        joined = not node.online
        node.hear(report, now_s, now_ms)
        ready = [engine for engine in report.engines if self._take_in(engine, now_s)]
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
        """This engine is dead or to end, whatever its node has yet to notice."""
        self._ended.add(engine_id)

    def drain(self, node_id: NodeId, drains: bool, now_s: float) -> None:
        """Give this node no more work, or work again. An unknown node is ignored."""
        if node := self._nodes.get(node_id):
            node.drain(drains, now_s)

    def has_told_of_draining(self, node_id: NodeId) -> bool:
        """This node knows whether it is being drained, or cannot be told."""
        node = self._nodes.get(node_id)
        return node is None or not node.online or node.knows_whether_it_drains

    def plan(self, now_s: float, waiting: Callable[[str], int]) -> None:
        """Decide how many engines there are to be of each model, of which so many jobs wait, and see to it."""
        ready_to_decide = self.settled(now_s) and bool(self._nodes)
        if ready_to_decide:
            for served in self._models.values():
                served.scale(waiting(served.model.id), now_s)
        for replica in [r for r in self._replicas.values() if r.retiring_since_s is not None and not r.tokens_of]:
            self._end(replica)
        if ready_to_decide:
            for served in self._models.values():
                self._order_missing(served, now_s)

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

    def overdue(self, now_s: float) -> list[Replica]:
        """The engines that were to end their jobs by now, and have not."""
        retiring = [replica for replica in self._replicas.values() if replica.retiring_since_s is not None]
        return [replica for replica in retiring if replica.tokens_of and replica.is_overdue(now_s)]

    def free_slots(self, model: str) -> int:
        """How many more jobs can be given to engines of this model now."""
        return self._models[model].free_slots()

    def replica(self, engine_id: EngineId) -> Replica | None:
        return self._replicas.get(engine_id)

    def ranking(self, model: str) -> Ranking:
        """The engines of this model, the best first. None of a model that the catalogue does not list."""
        served = self._models.get(model)
        return Ranking() if served is None else served.ranking

    def cached(self, model: str, prefix: bytes, prompt_tokens: int) -> Cached:
        """How many tokens of such a prompt engines of this model are expected to have in their caches."""
        served = self._models.get(model) if prefix else None
        return NOTHING if served is None else served.cached(prefix, prompt_tokens)

    def predictions(self, model: str) -> Predictions | None:
        """What this model's engines are expected to have cached. None of a model that the catalogue does not list."""
        served = self._models.get(model)
        return None if served is None else served.predictions

    def best(self, lane: LaneId, cached: Cached = NOTHING) -> Replica | None:
        """The engine that a job of this lane goes to, of whose prompt so much is cached; None when none can take it."""
        best = self.ranking(lane.model).best(lane.node_id, lane.suspect, cached)
        return None if best is None else self._replicas[best.engine_id]

    def preference(self, lane: LaneId) -> Prefer | None:
        """Which of several jobs of this lane finds most of its prompt where there is room. None where none can."""
        served = self._models.get(lane.model)
        return None if served is None or not served.predictions else partial(served.preferred, lane)

    def starting(self) -> list[Model]:
        """The models without an engine that is ready, of which one starts."""
        return [served.model for served in self._models.values() if served.counted and not served.serves]

    def serves(self, model: str) -> bool:
        """Whether an engine of this model is ready."""
        return self._models[model].serves

    def context_length(self, model: str) -> int | None:
        """The model's context in tokens, as its engines told or the catalogue says; None before either has."""
        return self._models[model].context_length

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
        served = self._models[model]
        if node_id is None and (served.is_coming or self._can_start(served, now_s)):
            return True
        there = served.counted.values() if node_id is None else self._counted_on(node_id, model)
        return any(served.backoff.is_hopeful or replica.state == "ready" for replica in there)

    def has_replica(self, model: str, node_id: NodeId) -> bool:
        """Whether this node has, or is to have, an engine of this model that may take more work."""
        return bool(self._counted_on(node_id, model))

    def without_room(self, now_s: float, grace_s: float) -> list[str]:
        """The models that have fitted no machine for longer than `grace_s`, and for which no room will be made."""
        since_s = {model: served.backoff.no_room_since_s for model, served in self._models.items()}
        waiting = [model for model, began_s in since_s.items() if began_s is not None and now_s - began_s > grace_s]
        return [model for model in waiting if not self._room_may_come(self._models[model])]

    def model_views(self, queued: dict[str, int]) -> list[ModelView]:
        return [served.view(queued.get(model, 0)) for model, served in self._models.items()]

    def node_views(self) -> list[NodeView]:
        return [self._node_view(node) for node in self._nodes.values()]

    # Inside -------------------------------------------------------------------------------------------------------

    def _can_start(self, served: ServedModel, now_s: float) -> bool:
        """There is no engine of this model, and a job would bring one."""
        return served.can_be_started(now_s) and self._room_may_come(served)

    def _room_may_come(self, served: ServedModel) -> bool:
        """There is room for an engine of this model, or will be once others end that other models can spare."""
        return any(
            room.fits(served.model, machine, without=[r for r in machine.replicas.values() if r.may_go])
            for machine in self._nodes.values()
        )

    def _take_in(self, engine: EngineReport, now_s: float) -> bool:
        """Note what an engine tells; true when that makes it ready."""
        self._unseen.discard(engine.id)
        replica = self._replicas.get(engine.id) or self._adopt(engine)
        if replica is None or engine.state not in ("starting", "ready"):
            return False
        became_ready = engine.state == "ready" and replica.state != "ready"
        replica.hear(engine, now_s)
        if became_ready:
            replica.peers.backoff = StartBackoff(has_served=True)
        return became_ready

    def _note_failure(self, engine: EngineReport, now_s: float) -> bool:
        """Keep why an ordered engine failed; true when it did."""
        if engine.state != "failed" or engine.id not in self._replicas:
            return False
        self._models[engine.model].backoff.failed(engine.message, now_s)
        return True

    def _adopt(self, engine: EngineReport) -> Replica | None:
        """Keep an engine that nobody here ordered, if one like it is wanted."""
        served = self._models.get(engine.model)
        if served is None or engine.id in self._ended or engine.state not in ("starting", "ready"):
            return None
        if not self._wants(served, engine):
            return None
        served.backoff.found_room()
        self._next_number = max(self._next_number, _first_free_number([engine.id]))
        return self._join(engine.id, served, self._nodes[engine.node_id])

    def _wants(self, served: ServedModel, engine: EngineReport) -> bool:
        """There may be one more of this model; or its node is being drained, and it has jobs to end."""
        if self._nodes[engine.node_id].draining:
            return bool(engine.running)
        return served.may_have_more

    def _end(self, replica: Replica) -> None:
        """Nobody needs it any more: its node's next orders are without it."""
        self.drop(replica.id)
        self.never_adopt(replica.id)

    def _join(self, engine_id: EngineId, served: ServedModel, node: Machine) -> Replica:
        replica = self._replicas[engine_id] = Replica(engine_id, served.model, node, served)
        replica.join()
        return replica

    def _order_missing(self, served: ServedModel, now_s: float) -> None:
        """Order as many of the missing engines as there is room for. Where one finds none, no other does."""
        model, backoff, machines = served.model, served.backoff, self._nodes.values()
        if served.missing <= 0 and backoff.no_room_since_s is not None and room.roomiest(model, machines):
            backoff.found_room()
        for _ in range(served.missing if now_s >= backoff.retry_at_s else 0):
            node = room.roomiest(model, machines) or self._made_room(model, now_s)
            if node is None:
                backoff.no_room(room.shortage(model, machines), now_s)
                return
            backoff.found_room()
            engine_id = EngineId(f"{model.id}/{self._next_number}")
            self._next_number += 1
            self._join(engine_id, served, node)

    def _made_room(self, model: Model, now_s: float) -> Machine | None:
        """Where an idle engine of another model, which can spare it, has made room by ending."""
        for replica in self._replicas.values():
            if self._is_spare(replica, now_s) and room.fits(model, replica.node, without=[replica]):
                replica.peers.scaling.spare()
                self._end(replica)
                return replica.node
        return None

    def _is_spare(self, replica: Replica, now_s: float) -> bool:
        """It has no job, its model wants no jobs done, and it has been here for long enough to be worth its start."""
        has_stayed = replica.ready_since_s is not None and now_s - replica.ready_since_s >= self._seat_s
        return has_stayed and not replica.tokens_of and replica.peers.can_spare_one

    def _counted_on(self, node_id: NodeId, model: str) -> list[Replica]:
        return [r for r in self._models[model].counted.values() if r.node_id == node_id]

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
