"""Nodes, the engines on them, and which engines there are to be.

Nodes report everything, each time, and are told everything they are to run, each time: a report or an order that is
lost is made good by the next one. The cluster is asked for all its machines and seats in the same way.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from cluster.catalogue import Catalogue, Model
from cluster.fleet import room
from cluster.fleet.backoff import StartBackoff
from cluster.fleet.machine import Machine
from cluster.fleet.replica import Replica
from cluster.fleet.room import Room
from cluster.fleet.seat import Seat
from cluster.fleet.served_model import ServedModel
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import (
    EngineOrder,
    EngineReport,
    ModelView,
    NodeOrders,
    NodeReport,
    NodeView,
)
from cluster.messages.seats import ClusterReport, SeatOrder, SeatReport
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
        self._nodes: dict[NodeId, Machine] = {}
        self._replicas: dict[EngineId, Replica] = {}
        self._models = {model.id: ServedModel(model, timing.scaling_window_s) for model in catalogue.models}
        self._next_number = _first_free_number(existing)
        self._unseen = set(existing)
        self._existing = frozenset(self._unseen)
        self._ended: set[EngineId] = set()
        self._seats: dict[EngineId, Seat] = {}
        self._told_seats: list[EngineId] = []
        self._elastic = False
        self._surveyed = False
        self._timing = timing
        self._settle_by_s = now_s + timing.settle_s
        self.wants_survey = True
        """Seats have been asked for or given up since the cluster last told of them."""

    # What happens -------------------------------------------------------------------------------------------------

    def report(self, report: NodeReport, now_s: float, now_ms: int) -> Change:
        """Take in a heartbeat."""
        node = self._nodes.setdefault(report.node_id, Machine(report.node_id, report.hardware))
        joined = not node.online
        node.hear(report, now_s, now_ms)
        ready = [engine for engine in report.engines if self._take_in(engine, now_s)]
        failed = [engine.id for engine in report.engines if self._note_failure(engine, now_s)]
        vanished = _vanished(node, report) if report.complete else []
        if report.complete:
            self._release_seats(node)
        return Change(tuple(ready), (*failed, *vanished), joined)

    def survey(self, report: ClusterReport, now_s: float, now_ms: int) -> Change:
        """Take in what the cluster tells of its machines, and of the seats."""
        self._surveyed, self._elastic, self.wants_survey = True, report.elastic, False
        for each in report.machines:
            machine = self._nodes.setdefault(each.node_id, Machine(each.node_id, each.hardware))
            machine.see(each, now_s, now_ms)
        there = {each.node_id for each in report.machines}
        lost = [engine_id for node_id in self._nodes.keys() - there for engine_id in self._left(node_id, now_s)]
        for seat in report.seats:
            self._find(seat, now_s)
        self._told_seats = [seat.engine_id for seat in report.seats]
        return Change(lost=tuple(lost))

    def expire(self, now_s: float) -> Change:
        """Nodes not heard of for long are offline, and their engines gone. Old failures of engines are forgotten."""
        for replica in self._replicas.values():
            replica.forget_failures(now_s)
        for node in self._nodes.values():
            node.turn(online=not node.is_silent(now_s, self._timing.offline_after_s))
        silent = [node for node in self._nodes.values() if not node.online]
        return Change(lost=tuple(engine_id for node in silent for engine_id in node.replicas))

    def drop(self, engine_id: EngineId) -> Replica | None:
        """Count on this engine no longer. Unless it is adopted again, its node stops what is left of it."""
        self._unseen.discard(engine_id)
        replica = self._replicas.pop(engine_id, None)
        if replica is not None:
            replica.leave()
            seat = self._seats.get(engine_id)
            if seat is not None and replica.report is not None and not replica.node.runs(engine_id):
                self._give_up(seat)
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
        ready_to_decide = self.settled(now_s) and self._knows_machines
        if ready_to_decide:
            for served in self._models.values():
                for seat in served.scale(waiting(served.model.id), now_s):
                    self._give_up(seat)
        for replica in [r for r in self._replicas.values() if r.retiring_since_s is not None and not r.tokens_of]:
            self._end(replica)
        if ready_to_decide:
            for served in self._models.values():
                self._occupy_seats(served)
                self._order_missing(served, now_s)
            self._look_for_room(now_s)

    def settled(self, now_s: float) -> bool:
        """Every engine that ran before this began has been heard of, or has had its time to be."""
        return not self._unseen or now_s >= self._settle_by_s

    # What is asked ------------------------------------------------------------------------------------------------

    def orders(self, node_id: NodeId) -> NodeOrders:
        """All that this node is to do."""
        node = self._nodes[node_id]
        return NodeOrders(tuple(EngineOrder(r.id, r.model.id) for r in node.replicas.values()), node.draining)

    def seat_orders(self) -> list[SeatOrder]:
        """The seats that there are to be, and in which no engine is yet."""
        return [seat.order for seat in self._seats.values() if not seat.taken]

    def unwanted_seats(self) -> Sequence[EngineId]:
        """Those of the seats that the cluster has told of which nobody is to have any more."""
        return [engine_id for engine_id in self._told_seats if engine_id not in self._seats]

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

    def overdue(self, now_s: float, now_ms: int) -> list[Replica]:
        """The engines that were to end their jobs by now, and have not."""
        retiring = [replica for replica in self._replicas.values() if replica.retiring_since_s is not None]
        return [replica for replica in retiring if replica.tokens_of and replica.is_overdue(now_s, now_ms)]

    def free_slots(self, model: str) -> int:
        """How many more jobs can be given to engines of this model now."""
        return self._models[model].free_slots()

    def replica(self, engine_id: EngineId) -> Replica | None:
        return self._replicas.get(engine_id)

    def ranking(self, model: str) -> Ranking:
        """The engines of this model, the best first. None of a model that the catalogue does not list."""
        served = self._models.get(model)
        return Ranking() if served is None else served.ranking

    def best(self, lane: LaneId) -> Replica | None:
        """The engine that the next job of this lane goes to; None when none can take it now."""
        best = self.ranking(lane.model).best(lane.node_id, lane.suspect)
        return None if best is None else self._replicas[best.engine_id]

    def starting(self) -> list[Model]:
        """The models without an engine that is ready, of which one starts, or waits for a machine to come."""
        return [served.model for served in self._models.values() if served.is_starting]

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
        if not self.settled(now_s) or (not self._knows_machines and node_id is None):
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
        """The models that have fitted no machine for longer than `grace_s`, and for which no room will be made.

        Not those of which an engine is there, or starts: there is no room for more of them, and they are served.
        """
        since_s = {model: s.backoff.no_room_since_s for model, s in self._models.items() if not s.counted}
        waiting = [model for model, began_s in since_s.items() if began_s is not None and now_s - began_s > grace_s]
        return [model for model in waiting if not self._room_may_come(self._models[model], now_s)]

    def model_views(self, queued: dict[str, int], now_s: float) -> list[ModelView]:
        return [served.view(queued.get(model, 0), now_s) for model, served in self._models.items()]

    def node_views(self) -> list[NodeView]:
        return [self._node_view(node) for node in self._nodes.values()]

    # Inside -------------------------------------------------------------------------------------------------------

    @property
    def _knows_machines(self) -> bool:
        """All of them, and not only those that have reported by now."""
        return self._surveyed and bool(self._nodes)

    def _can_start(self, served: ServedModel, now_s: float) -> bool:
        """There is no engine of this model, and a job would bring one."""
        return served.can_be_started(now_s) and self._room_may_come(served, now_s)

    def _room_may_come(self, served: ServedModel, now_s: float) -> bool:
        """There is room for an engine of this model, or will be: machines come, or others end that can be spared."""
        seats = served.waiting.values()
        if self._elastic and (not seats or any(not seat.is_stuck for seat in seats)):
            return True
        if any(self._is_held_by_others(seat, now_s) for seat in seats):
            return False
        return any(
            room.fits(served.model, machine, without=[r for r in machine.replicas.values() if r.may_go])
            for machine in self._nodes.values()
        )

    def _is_held_by_others(self, seat: Seat, now_s: float) -> bool:
        """There should have been room for it for so long that somebody else must have it."""
        return seat.fits_since_s is not None and now_s - seat.fits_since_s >= self._timing.room_s

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
        served.waiting.pop(engine_id, None)
        if seat := self._seats.get(engine_id):
            seat.taken = True
        return replica

    # Seats --------------------------------------------------------------------------------------------------------

    def _left(self, node_id: NodeId, now_s: float) -> Iterator[EngineId]:
        """The cluster had this machine, and has it no more. Yields the engines that went with it."""
        machine = self._nodes[node_id]
        if machine.in_cluster is None:
            return
        machine.leave()
        for seat in list(machine.seats.values()):
            self._give_up(seat)
        if machine.is_silent(now_s, self._timing.left_s) and not machine.replicas:
            del self._nodes[node_id]
        yield from machine.replicas

    def _find(self, found: SeatReport, now_s: float) -> None:
        """Note where a seat is. One that the Scheduler before this one asked for is kept, if its model is served."""
        seat = self._seats.get(found.engine_id) or self._adopt_seat(found.engine_id, now_s)
        if seat is not None:
            machine = None if found.node_id is None else self._nodes.get(found.node_id)
            seat.find(machine, is_stuck=found.is_hopeless or not self._elastic)

    def _adopt_seat(self, engine_id: EngineId, now_s: float) -> Seat | None:
        served = self._models.get(engine_id.rpartition("/")[0])
        if served is None or engine_id in self._ended:
            return None
        taken = engine_id in self._existing or engine_id in self._replicas
        self._next_number = max(self._next_number, _first_free_number([engine_id]))
        return self._add_seat(Seat(engine_id, served, now_s, taken))

    def _add_seat(self, seat: Seat) -> Seat:
        self._seats[seat.id] = seat
        if not seat.taken:
            seat.peers.waiting[seat.id] = seat
        return seat

    def _give_up(self, seat: Seat) -> None:
        """Nobody is to have this seat any more."""
        self._seats.pop(seat.id, None)
        seat.peers.waiting.pop(seat.id, None)
        seat.leave()
        self.never_adopt(seat.id)
        self.wants_survey = True

    def _release_seats(self, node: Machine) -> None:
        """The seats go of engines that are not wanted, and of which their node tells no more."""
        for seat in list(node.seats.values()):
            if seat.taken and seat.id not in self._replicas and not node.runs(seat.id):
                self._give_up(seat)

    def _occupy_seats(self, served: ServedModel) -> None:
        """Order engines in the seats that have been found.

        A seat on a machine that takes no more work is given up, and one that waits for any but one that does again.
        """
        avoided = self._avoided()
        for seat in list(served.waiting.values()):
            if seat.machine is None:
                is_outdated = not avoided.issuperset(seat.avoided)
            else:
                is_outdated = seat.machine.draining
            if is_outdated:
                self._give_up(seat)
            elif seat.machine is not None and seat.machine.online:
                self._join(seat.id, served, seat.machine)

    def _avoided(self) -> set[NodeId]:
        """The machines on which no seat is to be."""
        return {node.id for node in self._nodes.values() if node.draining and node.in_cluster}

    def _order_missing(self, served: ServedModel, now_s: float) -> None:
        """Ask for the missing seats. An engine that books nothing needs none: it is ordered at once."""
        for _ in range(served.missing if now_s >= served.backoff.retry_at_s else 0):
            engine_id = EngineId(f"{served.model.id}/{self._next_number}")
            if served.model.books:
                self._add_seat(Seat(engine_id, served, now_s, avoided=tuple(sorted(self._avoided()))))
                self.wants_survey = True
            elif machine := room.least_crowded(self._nodes.values()):
                self._join(engine_id, served, machine)
            else:
                return
            self._next_number += 1

    def _look_for_room(self, now_s: float) -> None:
        """For seats that wait and for which no machine comes: note the lack of room, or have others end."""
        free = Room(self._nodes.values())
        for seat in [seat for seat in self._seats.values() if seat.machine is not None and not seat.taken]:
            free.take(seat.peers.model, seat.machine.id if seat.machine else None)
        for served in self._models.values():
            shortages = [self._shortage(seat, free, now_s) for seat in served.waiting.values() if seat.is_stuck]
            if told := next(filter(None, shortages), None):
                served.backoff.no_room(told, now_s)
            else:
                served.backoff.found_room()

    def _shortage(self, seat: Seat, free: Room, now_s: float) -> str | None:
        """Why there is no room for this seat; None where there is, or others end for it."""
        model = seat.peers.model
        if free.take(model):
            seat.fits_since_s = now_s if seat.fits_since_s is None else seat.fits_since_s
            held = self._is_held_by_others(seat, now_s)
            return f"{room.need(model)}, and something else than models holds them" if held else None
        seat.fits_since_s = None
        return None if self._make_room(model, now_s) else room.shortage(model, self._nodes.values())

    def _make_room(self, model: Model, now_s: float) -> bool:
        """Whether an idle engine of another model, which can spare it, makes room by ending."""
        for replica in self._replicas.values():
            if self._is_spare(replica, now_s) and room.fits(model, replica.node, without=[replica]):
                replica.peers.scaling.spare()
                self._end(replica)
                return True
        return False

    def _is_spare(self, replica: Replica, now_s: float) -> bool:
        """It has no job, its model wants no jobs done, and it has been here for long enough to be worth its start."""
        has_stayed = replica.ready_since_s is not None and now_s - replica.ready_since_s >= self._timing.seat_s
        return has_stayed and not replica.tokens_of and replica.peers.can_spare_one

    def _counted_on(self, node_id: NodeId, model: str) -> list[Replica]:
        return [r for r in self._models[model].counted.values() if r.node_id == node_id]

    def _node_view(self, node: Machine) -> NodeView:
        engines = tuple(r.report for r in node.replicas.values() if r.report is not None)
        return NodeView(node.id, node.status, node.heard_ms, node.hardware, engines)


def _vanished(node: Machine, report: NodeReport) -> list[EngineId]:
    reported = {engine.id for engine in report.engines}
    return [r.id for r in node.replicas.values() if r.report is not None and r.id not in reported]


def _first_free_number(engines: Iterable[EngineId]) -> int:
    """Engine numbers are never used twice while an engine of that number may still run."""
    return max((int(engine_id.rpartition("/")[2]) for engine_id in engines), default=-1) + 1
