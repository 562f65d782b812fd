"""Where there is room for another engine, as far as the machines' own engines say. Pure."""

from collections.abc import Callable, Collection, Iterable
from heapq import nsmallest

from cluster.catalogue import Model
from cluster.fleet import labels
from cluster.fleet.machine import Machine
from cluster.fleet.replica import Replica
from cluster.ids import NodeId


class Room:
    """What is free on machines: all of it but what engines hold that are to run there."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._machines = {machine.id: machine for machine in machines if machine.takes_seats}
        self._free = {machine.id: _free(machine) for machine in self._machines.values()}

    def take(self, model: Model, among: Collection[NodeId]) -> bool:
        """Set apart what an engine of this model needs, where least is left. False where it does not fit on these."""
        there = [each for each in among if each in self._free]
        places = [each for each in there if self._takes(each, model, self._free[each])]
        best = nsmallest(model.machines, places, key=lambda node_id: self._free[node_id])
        if len(best) < model.machines:
            return False
        for node_id in best:
            gpus, cpus = self._free[node_id]
            self._free[node_id] = gpus - model.gpus, cpus - model.cpus
        return True

    def _takes(self, machine: NodeId, model: Model, free: tuple[float, float]) -> bool:
        return is_enough(model, *free) and labels.match(model.labels, self._machines[machine].labels)


def least_crowded(machines: Iterable[Machine]) -> Machine | None:
    """The machine with the fewest engines, for one that holds nothing of it: of those that stay in the cluster."""
    there = [machine for machine in machines if machine.takes_work and machine.stays]
    return min(there, key=lambda machine: len(machine.replicas), default=None)


def fits(model: Model, machine: Machine, without: Collection[Replica] = ()) -> bool:
    """Whether there is room for an engine of this model, perhaps once others are gone."""
    gpus, cpus = _free(machine)
    gpus += sum(replica.booked[0] for replica in without)
    cpus += sum(replica.booked[1] for replica in without)
    return takes(model, machine) and is_enough(model, gpus, cpus)


def takes(model: Model, machine: Machine) -> bool:
    """Whether this machine is one for engines of this model, were all of it free."""
    return machine.takes_seats and labels.match(model.labels, machine.labels)


def is_large_enough(model: Model, machine: Machine) -> bool:
    """Whether an engine of this model would fit there if nobody else held anything."""
    return takes(model, machine) and is_enough(model, machine.hardware.gpu_count, machine.hardware.cpus)


def fits_on_enough(model: Model, machines: Iterable[Machine], without: Callable[[Replica], bool]) -> bool:
    """Whether there is room on as many machines as an engine of this model needs, once those have gone that may."""
    fitting = [m for m in machines if fits(model, m, [r for r in m.replicas.values() if without(r)])]
    return len(fitting) >= model.machines


def to_end(model: Model, machines: Iterable[Machine], spare: Iterable[Replica]) -> Collection[Replica]:
    """Those of the spare engines that make room for one of this model by ending; none where that is not enough.

    One for a machine that has no room: what only several of them could make together is not looked for.
    """
    possible = {machine.id: machine for machine in machines}
    has_room = {each for each in possible if fits(model, possible[each])} if model.machines > 1 else set()
    missing = max(model.machines - len(has_room), 1)
    makes_room: dict[NodeId, Replica] = {}
    for replica in spare:
        for machine in replica.machines:
            is_looked_at = machine.id in possible and machine.id not in has_room and len(makes_room) < missing
            if is_looked_at and fits(model, machine, [replica]):
                makes_room.setdefault(machine.id, replica)
    return dict.fromkeys(makes_room.values()).keys() if len(makes_room) == missing else ()


def shortage(model: Model, machines: Iterable[Machine]) -> str:
    """What an engine of this model needs, and what there is."""
    there = [machine.hardware for machine in machines if takes(model, machine)]
    if model.labels and not there:
        wanted = ", ".join(f"{name}: {value}" for name, value in model.labels.items())
        return f"{need(model)} with the labels {wanted}; none here has them"
    most_gpus = max((hardware.gpu_count for hardware in there), default=0)
    most_cpus = max((hardware.cpus for hardware in there), default=0.0)
    largest = f"the largest here has {most_gpus} GPUs and {most_cpus:g} CPUs in all"
    if model.machines == 1:
        return f"{need(model)}; {largest}"
    large_enough = sum(is_enough(model, hardware.gpu_count, hardware.cpus) for hardware in there)
    return f"{need(model)}; {large_enough} here have as much in all, and {largest}"


def need(model: Model) -> str:
    where = "on one machine" if model.machines == 1 else f"on each of {model.machines} machines"
    return f"needs {model.gpus} GPUs and {model.cpus:g} CPUs free {where}"


def is_enough(model: Model, gpus: float, cpus: float) -> bool:
    """Whether so much, free on one machine, is what an engine of this model needs."""
    return model.gpus <= gpus and model.cpus <= cpus


def _free(machine: Machine) -> tuple[float, float]:
    """GPUs and CPUs of this machine that no ordered engine holds."""
    held = [replica.booked for replica in machine.replicas.values()]
    free_gpus = machine.hardware.gpu_count - sum(gpus for gpus, _ in held)
    return free_gpus, machine.hardware.cpus - sum(cpus for _, cpus in held)
