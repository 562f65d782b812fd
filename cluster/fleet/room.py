"""Where there is room for another engine, as far as the machines' own engines say. Pure."""

from collections.abc import Collection, Iterable

from cluster.catalogue import Model
from cluster.fleet.machine import Machine
from cluster.fleet.replica import Replica
from cluster.ids import NodeId


class Room:
    """What is free on machines: all of it but what engines hold that are to run there."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        self._free = {machine.id: _free(machine) for machine in machines if machine.takes_seats}

    def take(self, model: Model, among: Collection[NodeId]) -> bool:
        """Set apart what an engine of this model needs, where least is left. False where it fits on none of these."""
        places = [each for each in among if each in self._free and _is_enough(model, *self._free[each])]
        best = min(places, key=lambda node_id: self._free[node_id], default=None)
        if best is None:
            return False
        gpus, cpus = self._free[best]
        self._free[best] = gpus - model.gpus, cpus - model.cpus
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


def is_large_enough(model: Model, machine: Machine) -> bool:
    """Whether an engine of this model would fit there if nobody else held anything."""
    return machine.takes_seats and _is_enough(model, machine.hardware.gpu_count, machine.hardware.cpus)


def shortage(model: Model, machines: Iterable[Machine]) -> str:
    """What an engine of this model needs, and what there is."""
    there = [machine.hardware for machine in machines if machine.takes_seats]
    most_gpus = max((hardware.gpu_count for hardware in there), default=0)
    most_cpus = max((hardware.cpus for hardware in there), default=0.0)
    return f"{need(model)}; the largest here has {most_gpus} GPUs and {most_cpus:g} CPUs in all"


def need(model: Model) -> str:
    return f"needs {model.gpus} GPUs and {model.cpus:g} CPUs free on one machine"


def _is_enough(model: Model, gpus: float, cpus: float) -> bool:
    return model.gpus <= gpus and model.cpus <= cpus


def _free(machine: Machine) -> tuple[float, float]:
    """GPUs and CPUs of this machine that no ordered engine holds."""
    held = [replica.model for replica in machine.replicas.values()]
    gpus = machine.hardware.gpu_count - sum(model.gpus for model in held)
    return gpus, machine.hardware.cpus - sum(model.cpus for model in held)
