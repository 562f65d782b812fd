"""Where there is room for another engine. Pure."""

from collections.abc import Collection, Iterable

from cluster.catalogue import Model
from cluster.fleet.machine import Machine
from cluster.fleet.replica import Replica


def roomiest(model: Model, machines: Iterable[Machine]) -> Machine | None:
    """The machine with the most free, of those that an engine of this model fits on."""
    return max((machine for machine in machines if fits(model, machine)), key=_free, default=None)


def fits(model: Model, machine: Machine, without: Collection[Replica] = ()) -> bool:
    """Whether there is room for an engine of this model, perhaps once others are gone."""
    gpus, cpus = _free(machine)
    gpus += sum(replica.model.gpus for replica in without)
    cpus += sum(replica.model.cpus for replica in without)
    return machine.takes_work and model.gpus <= gpus and model.cpus <= cpus


def shortage(model: Model, machines: Iterable[Machine]) -> str:
    """What an engine of this model needs, and what there is."""
    there = [machine.hardware for machine in machines if machine.takes_work]
    most_gpus = max((hardware.gpu_count for hardware in there), default=0)
    most_cpus = max((hardware.cpus for hardware in there), default=0.0)
    return (
        f"needs {model.gpus} GPUs and {model.cpus:g} CPUs free on one machine; "
        f"the largest here has {most_gpus} GPUs and {most_cpus:g} CPUs in all"
    )


def _free(machine: Machine) -> tuple[float, float]:
    """GPUs and CPUs of this machine that no ordered engine holds."""
    held = [replica.model for replica in machine.replicas.values()]
    gpus = machine.hardware.gpu_count - sum(model.gpus for model in held)
    return gpus, machine.hardware.cpus - sum(model.cpus for model in held)
