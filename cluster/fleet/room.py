"""Where there is room for another engine, as far as the machines' own engines say. Pure."""

from collections.abc import Callable, Collection, Iterable
from heapq import nsmallest

from cluster.catalogue import Model
from cluster.fleet.machine import Machine
from cluster.fleet.replica import Replica
from cluster.ids import NodeId


class Room:
    """What is free on machines: all of it but what engines hold that are to run there."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._free = {machine.id: _free(machine) for machine in machines if machine.takes_seats}

    def take(self, model: Model, on: Collection[Machine] = ()) -> bool:
        """Set apart what an engine of this model needs, where least is left, or on these. False where it cannot."""
        there = {machine.id for machine in on} or self._free.keys()
        places = [each for each, free in self._free.items() if each in there and _is_enough(model, *free)]
        best = nsmallest(model.machines, places, key=lambda node_id: self._free[node_id])
        if len(best) < model.machines:
            return False
        for node_id in best:
            gpus, cpus = self._free[node_id]
            self._free[node_id] = gpus - model.gpus, cpus - model.cpus
        return True


def least_crowded(machines: Iterable[Machine]) -> Machine | None:
    """The machine with the fewest engines, for one that holds nothing of it: of those that stay in the cluster."""
    there = [machine for machine in machines if machine.takes_work and machine.stays]
    return min(there, key=lambda machine: len(machine.replicas), default=None)


def fits(model: Model, machine: Machine, without: Collection[Replica] = ()) -> bool:
    """Whether there is room for an engine of this model, perhaps once others are gone."""
    gpus, cpus = _free(machine)
    gpus += sum(replica.model.gpus for replica in without)
    cpus += sum(replica.model.cpus for replica in without)
    return machine.takes_seats and _is_enough(model, gpus, cpus)


def fits_on_enough(model: Model, machines: Iterable[Machine], without: Callable[[Replica], bool]) -> bool:
    """Whether there is room on as many machines as an engine of this model needs, once those have gone that may."""
    fitting = [m for m in machines if fits(model, m, [r for r in m.replicas.values() if without(r)])]
    return len(fitting) >= model.machines


def to_end(model: Model, machines: Iterable[Machine], spare: Iterable[Replica]) -> Collection[Replica]:
    """Those of the spare engines that make room for one of this model by ending; none where that is not enough.

    One for a machine that has no room: what only several of them could make together is not looked for.
    """
    has_room = {machine.id for machine in machines if fits(model, machine)} if model.machines > 1 else set()
    missing = max(model.machines - len(has_room), 1)
    makes_room: dict[NodeId, Replica] = {}
    for replica in spare:
        for machine in replica.machines:
            if machine.id not in has_room and len(makes_room) < missing and fits(model, machine, [replica]):
                makes_room.setdefault(machine.id, replica)
    return dict.fromkeys(makes_room.values()).keys() if len(makes_room) == missing else ()


def shortage(model: Model, machines: Iterable[Machine]) -> str:
    """What an engine of this model needs, and what there is."""
    there = [machine.hardware for machine in machines if machine.takes_seats]
    most_gpus = max((hardware.gpu_count for hardware in there), default=0)
    most_cpus = max((hardware.cpus for hardware in there), default=0.0)
    largest = f"the largest here has {most_gpus} GPUs and {most_cpus:g} CPUs in all"
    if model.machines == 1:
        return f"{need(model)}; {largest}"
    large_enough = sum(_is_enough(model, hardware.gpu_count, hardware.cpus) for hardware in there)
    return f"{need(model)}; {large_enough} here have as much in all, and {largest}"


def need(model: Model) -> str:
    where = "on one machine" if model.machines == 1 else f"on each of {model.machines} machines"
    return f"needs {model.gpus} GPUs and {model.cpus:g} CPUs free {where}"


def _is_enough(model: Model, gpus: float, cpus: float) -> bool:
    return model.gpus <= gpus and model.cpus <= cpus


def _free(machine: Machine) -> tuple[float, float]:
    """GPUs and CPUs of this machine that no ordered engine holds."""
    held = [replica.model for replica in machine.replicas.values()]
    gpus = machine.hardware.gpu_count - sum(model.gpus for model in held)
    return gpus, machine.hardware.cpus - sum(model.cpus for model in held)
