"""Nodes, the engines on them, and which engines there are to be.

Nodes report everything, each time, and are told everything they are to run, each time: a report or an order that is
lost is made good by the next one. The cluster is asked for all its machines and seats in the same way.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec import Struct

from cluster.catalogue import Catalogue
from cluster.fleet import gpu_memory, room
from cluster.fleet.engines import Engines
from cluster.fleet.gpu_memory import Demand
from cluster.fleet.machine import Machine
from cluster.fleet.numbers import Numbers
from cluster.fleet.replica import Replica
from cluster.fleet.seat import Seat
from cluster.fleet.seating import Seating
from cluster.fleet.served_model import ServedModel
from cluster.fleet.served_models import ServedModels
from cluster.fleet.shortages import Shortages
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineReport, NodeOrders, NodeReport, NodeStatus, NodeView
from cluster.messages.models import ModelSettings
from cluster.messages.seats import ClusterReport, SeatOrder
from cluster.placement import NOTHING, NOWHERE, Cached, Loaded
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
    """Sole owner of what is known of nodes and engines. `existing` engines are waited for before new ones are made.

    No engine is ordered of an `unmeasured` model: what it takes of GPUs' memory is being found out.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        existing: Iterable[EngineId],
        now_s: float,
        timing: Timing = Timing(),
        unmeasured: Iterable[str] = (),
        admins: Iterable[ModelSettings] = (),
    ) -> None:
        self._nodes: dict[NodeId, Machine] = {}
        self._replicas: dict[EngineId, Replica] = {}
        self._served = {model.id: ServedModel(model, timing.scaling_window_s) for model in catalogue.models}
        self.models = ServedModels(self._served)
        existing = frozenset(existing)
        numbers = self._numbers = Numbers(existing)
        seating = self._seating = Seating(self._nodes, self._served, numbers, existing, self._replicas.__contains__)
        self._engines = Engines(self._replicas, self._nodes, self._served, numbers, seating, existing)
        self._shortages = Shortages(self._nodes, timing, self._engines.end)
        self._machines_come = False
        self._surveyed = False
        self._unmeasured = set(unmeasured)
        self._timing = timing
        self._settle_by_s = now_s + timing.settle_s
        self.models.set(admins)

    # What happens -------------------------------------------------------------------------------------------------

    def report(self, report: NodeReport, now_s: float, now_ms: int) -> Change:
        """Take in a heartbeat."""
        node = self._nodes.setdefault(report.node_id, Machine(report.node_id, report.hardware))
        joined = not node.online
        node.hear(report, now_s, now_ms)
        ready = [engine for engine in report.engines if self._engines.hear(engine, now_s)]
        failed = [engine.id for engine in report.engines if self._engines.note_failure(engine, now_s, now_ms)]
        vanished = _vanished(node, report) if report.complete else []
        if report.complete:
            self._seating.release(node)
        return Change(tuple(ready), (*failed, *vanished), joined)

    def survey(self, report: ClusterReport, now_s: float, now_ms: int) -> Change:
        """Take in what the cluster tells of its machines, and of the seats."""
        self._surveyed, self._machines_come = True, report.elastic
        for each in report.machines:
            machine = self._nodes.setdefault(each.node_id, Machine(each.node_id, each.hardware))
            machine.see(each, now_s, now_ms)
        there = {each.node_id for each in report.machines}
        names = {each.hardware.hostname for each in report.machines}
        gone = [
            self._nodes[node_id]
            for node_id in self._nodes.keys() - there
            if self._nodes[node_id].in_cluster is not None
        ]
        lost = _each_once(engine_id for machine in gone for engine_id in self._left(machine, names, now_s))
        self._seating.find(report.seats, self._machines_come, now_s)
        self._engines.reach_further()
        return Change(lost=lost)

    def expire(self, now_s: float) -> Change:
        """Nodes not heard of for long are offline, and their engines gone. Old failures of engines are forgotten.

        Of an engine with a part there, its own node tells: it gets no more work meanwhile.
        """
        for replica in self._replicas.values():
            replica.forget_failures(now_s)
        for node in self._nodes.values():
            node.turn(online=not node.is_silent(now_s, self._timing.offline_after_s))
        silent = [node for node in self._nodes.values() if not node.online]
        return Change(lost=tuple(r.id for node in silent for r in node.replicas.values() if r.node is node))

    def drop(self, engine_id: EngineId) -> Replica | None:
        """Count on this engine no longer. Unless it is adopted again, its node stops what is left of it."""
        return self._engines.drop(engine_id)

    def measured(self, model: str, demand: Demand | None) -> None:
        """What engines of this model take of GPUs' memory has been found out, or cannot be."""
        self._unmeasured.discard(model)
        self._served[model].demand = demand
        self._seating.has_changed = True  # or may, now

    def never_adopt(self, engine_id: EngineId) -> None:
        """This engine is dead or to end, whatever its node has yet to notice."""
        self._numbers.end(engine_id)

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
        ready_to_decide = self.settled(now_s) and self._knows_machines
        if ready_to_decide:
            for served in self._served.values():
                for seat in served.scale(waiting(served.model.id), now_s):
                    self._seating.give_up(seat)
        for replica in [r for r in self._replicas.values() if r.retiring_since_s is not None and not r.tokens_of]:
            self._engines.end(replica)
        if ready_to_decide:
            for served in self._served.values():
                self._order_missing(served, now_s)
            self._shortages.look(self._served.values(), self._seating.placed(), list(self._replicas.values()), now_s)

    def settled(self, now_s: float) -> bool:
        """Every engine that ran before this began has been heard of, or has had its time to be."""
        return not self._engines.unseen or now_s >= self._settle_by_s

    # What is asked ------------------------------------------------------------------------------------------------

    def orders(self, node_id: NodeId) -> NodeOrders:
        """All that this node is to do."""
        node = self._nodes[node_id]
        here = [replica for replica in node.replicas.values() if replica.node is node]
        return NodeOrders(tuple(replica.order for replica in here), node.draining)

    def seat_orders(self) -> list[SeatOrder]:
        """The seats that there are to be, and in which no engine is yet."""
        return self._seating.orders()

    def unwanted_seats(self) -> Sequence[EngineId]:
        """Those of the seats that the cluster has told of which nobody is to have any more."""
        return self._seating.unwanted()

    @property
    def has_looked_for_room(self) -> bool:
        """The cluster has told of every seat that has been asked for: whether there is room for it is known."""
        return self._knows_machines and not self._unmeasured and not self._seating.has_changed

    @property
    def wants_survey(self) -> bool:
        """Seats have been asked for or given up since the cluster last told of them."""
        return self._seating.has_changed

    @property
    def replicas(self) -> Collection[Replica]:
        """All engines that are wanted."""
        return self._replicas.values()

    def ready(self, model: str | None = None) -> list[EngineId]:
        """The engines that can be given jobs, as far as they themselves tell; those of this model, or all."""
        replicas = (replica for replica in self._replicas.values() if replica.state == "ready")
        return [replica.id for replica in replicas if model in (None, replica.model.id)]

    def unreached(self) -> list[Replica]:
        """The engines to which calls fail that may succeed again."""
        return [replica for replica in self._replicas.values() if replica.unreached_since_s is not None]

    def overdue(self, now_s: float, now_ms: int) -> list[Replica]:
        """The engines that were to end their jobs by now, and have not."""
        retiring = [replica for replica in self._replicas.values() if replica.retiring_since_s is not None]
        return [replica for replica in retiring if replica.tokens_of and replica.is_overdue(now_s, now_ms)]

    def replica(self, engine_id: EngineId) -> Replica | None:
        return self._replicas.get(engine_id)

    def best(self, lane: LaneId, cached: Cached = NOTHING, loaded: Loaded = NOWHERE) -> Replica | None:
        """The engine that a job of this lane goes to; None when none can take it.

        So much of its prompt is cached, and these engines have its adapter loaded.
        """
        best = self.models.ranking(lane.model).best(lane.node_id, lane.suspect, cached, loaded)
        return None if best is None else self._replicas[best.engine_id]

    def knows_node(self, node_id: NodeId) -> bool:
        return node_id in self._nodes

    def online(self, node_id: NodeId) -> bool:
        return node_id in self._nodes and self._nodes[node_id].online

    def can_serve(self, model: str, node_id: NodeId | None, now_s: float) -> bool:
        """An engine of this model is ready (on this node), or may become so, or it is too early to say.

        An engine that starts after several have failed is not counted on.
        """
        if not self.settled(now_s) or (not self._knows_machines and node_id is None):
            return True
        served = self._served[model]
        if node_id is None and (served.is_coming or self._can_start(served, now_s)):
            return True
        there = served.counted.values() if node_id is None else self._counted_on(node_id, model)
        return any(served.backoff.is_hopeful or replica.state == "ready" for replica in there)

    def too_small_gpus(self, model: str) -> str | None:
        """That GPUs are too small for this model, with the arithmetic; None where they are not, or it is not known."""
        served = self._served[model]
        return gpu_memory.shortage(served.model, served.demand, self._nodes.values())

    def has_replica(self, model: str, node_id: NodeId) -> bool:
        """Whether this node has, or is to have, an engine of this model that may take more work."""
        return bool(self._counted_on(node_id, model))

    def without_room(self, now_s: float, grace_s: float) -> list[str]:
        """The models that have fitted no machine for longer than `grace_s`, and for which no room will be made.

        Not those of which an engine is there, or starts: there is no room for more of them, and they are served.
        """
        since_s = {model: s.backoff.no_room_since_s for model, s in self._served.items() if not s.counted}
        waiting = [model for model, began_s in since_s.items() if began_s is not None and now_s - began_s > grace_s]
        return [model for model in waiting if not self._room_may_come(self._served[model], now_s)]

    def node_views(self) -> list[NodeView]:
        return [node.view() for node in self._nodes.values()]

    def node_statuses(self) -> dict[NodeId, NodeStatus]:
        return {node.id: node.status for node in self._nodes.values()}

    # Inside -------------------------------------------------------------------------------------------------------

    @property
    def _knows_machines(self) -> bool:
        """All of them, and not only those that have reported by now."""
        return self._surveyed and bool(self._nodes)

    def _can_start(self, served: ServedModel, now_s: float) -> bool:
        """There is no engine of this model, and a job would bring one."""
        return served.can_be_started(now_s) and self._room_may_come(served, now_s)

    def _room_may_come(self, served: ServedModel, now_s: float) -> bool:
        return not served.model.books or self._shortages.room_may_come(served, self._machines_come, now_s)

    def _order_missing(self, served: ServedModel, now_s: float) -> None:
        """Order engines in the seats that have been found, and ask for those that are missing.

        An engine that books nothing needs no seat: it is ordered at once.
        """
        if served.model.id in self._unmeasured:
            return
        for seat in self._seating.too_small(served):
            self._give_up_too_small(seat, now_s)
        for engine_id, machines in self._seating.found(served):
            self._engines.join(engine_id, served, machines, now_s)
        for _ in range(served.missing if now_s >= served.backoff.retry_at_s else 0):
            if served.model.books:
                self._seating.ask(self._numbers.new(served.model.id), served, now_s)
            elif least_crowded := room.least_crowded(self._nodes.values()):
                self._engines.join(self._numbers.new(served.model.id), served, [least_crowded], now_s)

    def _give_up_too_small(self, seat: Seat, now_s: float) -> None:
        """A start that fails: or else one such machine after the other would come."""
        assert seat.peers.demand is not None
        need = gpu_memory.need(seat.peers.model, seat.peers.demand)
        seat.peers.backoff.failed(f"{need}; those of its machine are too small", now_s)
        self._seating.give_up(seat)

    def _left(self, machine: Machine, names: Collection[str], now_s: float) -> Collection[EngineId]:
        """The cluster had this machine, and has it no more. Returns the engines that went with it.

        It is told of for a while, or until one of its name is there: the machine has come back.
        """
        machine.leave()
        self._seating.leave(machine)
        for replica in machine.replicas.values():
            if replica.node is not machine:
                self.never_adopt(replica.id)  # its node tells of it for as long as it has not noticed
        is_past = machine.hardware.hostname in names or machine.is_silent(now_s, self._timing.left_s)
        if is_past and not machine.replicas:
            del self._nodes[machine.id]
        return list(machine.replicas)

    def _counted_on(self, node_id: NodeId, model: str) -> list[Replica]:
        return [r for r in self._served[model].counted.values() if r.node_id == node_id]


def _each_once(engines: Iterable[EngineId]) -> tuple[EngineId, ...]:
    """One on several machines may have been lost with each of them."""
    return tuple(dict.fromkeys(engines))


def _vanished(node: Machine, report: NodeReport) -> list[EngineId]:
    reported = {engine.id for engine in report.engines}
    engines = [r for r in node.replicas.values() if r.node is node and r.report is not None]
    return [r.id for r in engines if r.id not in reported]
