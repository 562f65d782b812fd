"""The seats: which there are to be, where they are, and when they may go. Pure.

A seat is asked for, and waits until the cluster has its machines, most often one. Then an engine is ordered there.
When the engine is not wanted any more, the seat stays until the engine's node says that nothing of it is left: what it
booked is not free before that. What the cluster has and nobody wants is unwanted.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from cluster.fleet import gpu_memory, weights
from cluster.fleet.machine import Machine
from cluster.fleet.numbers import Numbers, model_of
from cluster.fleet.seat import Seat
from cluster.fleet.served_model import ServedModel
from cluster.ids import EngineId, NodeId
from cluster.messages.seats import SeatOrder, SeatReport


class Seating:
    """Sole owner of the seats. `existing` engines may sit in some; `is_wanted` says which engines there are to be."""

    def __init__(
        self,
        machines: Mapping[NodeId, Machine],
        models: Mapping[str, ServedModel],
        numbers: Numbers,
        existing: Iterable[EngineId],
        is_wanted: Callable[[EngineId], bool],
    ) -> None:
        self._machines = machines
        self._models = models
        self._numbers = numbers
        self._existing = frozenset(existing)
        self._is_wanted = is_wanted
        self._seats: dict[EngineId, Seat] = {}
        self._told: list[EngineId] = []
        self.has_changed = True
        """Seats have been asked for or given up since the cluster last told of them."""

    # What the cluster is told, and tells --------------------------------------------------------------------------

    def orders(self) -> list[SeatOrder]:
        """The seats that there are to be, and in which no engine is yet."""
        return [seat.order for seat in self._seats.values() if not seat.taken]

    def unwanted(self) -> Sequence[EngineId]:
        """Those of the seats that the cluster has told of which nobody is to have any more."""
        return [engine_id for engine_id in self._told if engine_id not in self._seats]

    def find(self, reports: Sequence[SeatReport], machines_come: bool, now_s: float) -> None:
        """Note where each seat is. One that the Scheduler before this one asked for is kept, if its model is served.

        One in which no engine is yet, and which was asked for with other settings, is not: it books what they said.
        """
        self.has_changed = False
        self._told = [report.engine_id for report in reports]
        for report in reports:
            seat = self._seats.get(report.engine_id) or self._adopt(report, now_s)
            if seat is None:
                continue
            machines = self._all_of(report.nodes)
            seat.find(machines, is_stuck=report.is_hopeless or not machines_come)
            if seat.taken and not machines and not self._is_wanted(seat.id) and not seat.is_in_use:
                self.give_up(seat)  # no engine lives where there is no machine

    def _all_of(self, nodes: Sequence[NodeId]) -> tuple[Machine, ...]:
        """These machines; none where one of them is not known yet."""
        known = tuple(self._machines[node_id] for node_id in nodes if node_id in self._machines)
        return known if len(known) == len(nodes) else ()

    def _adopt(self, report: SeatReport, now_s: float) -> Seat | None:
        engine_id = report.engine_id
        served = self._models.get(model_of(engine_id))
        if served is None or self._numbers.has_ended(engine_id):
            return None
        self._numbers.saw(engine_id)
        taken = engine_id in self._existing or self._is_wanted(engine_id)
        if not taken and report.made_of != served.make.fingerprint:
            return None
        return self._add(Seat(engine_id, served, now_s, taken))

    # What the Fleet does with them --------------------------------------------------------------------------------

    def ask(self, engine_id: EngineId, served: ServedModel, now_s: float) -> None:
        """There is to be a seat for this engine, on any machine that takes work, best where its weights are."""
        avoided = tuple(sorted(self._avoided(served)))
        preferred = weights.preferred(served.model, self._machines.values())
        self._add(Seat(engine_id, served, now_s, avoided=avoided, preferred=preferred))
        self.has_changed = True

    def take(self, engine_id: EngineId) -> None:
        """The engine is ordered, or is there. One that books nothing has no seat."""
        if seat := self._seats.get(engine_id):
            seat.taken = True
            seat.peers.waiting.pop(engine_id, None)

    def give_up(self, seat: Seat) -> None:
        """Nobody is to have this seat any more."""
        self._seats.pop(seat.id, None)
        seat.peers.waiting.pop(seat.id, None)
        seat.leave()
        self._numbers.end(seat.id)
        self.has_changed = True

    def found(self, served: ServedModel) -> Iterator[tuple[EngineId, Sequence[Machine]]]:
        """The seats of this model in which an engine can be ordered now, and their machines.

        A seat on a machine where none is to be is given up, and one that waits for any but one where it may be again.
        """
        avoided = self._avoided(served) if served.waiting else set()
        for seat in list(served.waiting.values()):
            if seat.is_outdated(avoided):
                self.give_up(seat)
            elif not seat.waits and all(machine.online for machine in seat.machines):
                yield seat.id, seat.machines

    def too_small(self, served: ServedModel) -> list[Seat]:
        """The seats of this model that wait on machines whose GPUs turned out to be too small."""
        return [
            seat
            for seat in served.waiting.values()
            if not all(gpu_memory.suits(served.model, served.demand, machine) for machine in seat.machines)
        ]

    def placed(self) -> Iterator[Seat]:
        """The seats that have their machines, and in which no engine is ordered yet."""
        for served in self._models.values():
            yield from (seat for seat in served.waiting.values() if not seat.waits)

    def machines_of(self, engine_id: EngineId) -> Sequence[Machine]:
        """The machines of this engine's seat, the first one that its node is on; none before the cluster has told."""
        seat = self._seats.get(engine_id)
        return () if seat is None else seat.machines

    def release(self, machine: Machine) -> None:
        """Of engines that are not wanted, and of which their node tells no more, the seats may go."""
        for seat in list(machine.seats.values()):
            if seat.first is machine and seat.taken and not self._is_wanted(seat.id) and not seat.is_in_use:
                self.give_up(seat)

    def leave(self, machine: Machine) -> None:
        """The cluster has this machine no more. Of an engine on others too, what is left ends there first."""
        for seat in list(machine.seats.values()):
            if seat.first is machine or not seat.is_in_use:
                self.give_up(seat)

    def _add(self, seat: Seat) -> Seat:
        self._seats[seat.id] = seat
        if not seat.taken:
            seat.peers.waiting[seat.id] = seat
        return seat

    def _avoided(self, served: ServedModel) -> set[NodeId]:
        """The machines on which no seat of this model is to be: those that are drained, or whose GPUs are too small."""
        return {
            machine.id
            for machine in self._machines.values()
            if machine.in_cluster and (machine.draining or not gpu_memory.suits(served.model, served.demand, machine))
        }
