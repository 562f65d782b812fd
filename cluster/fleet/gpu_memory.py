"""Whether a model's weights, and one request of its whole context, fit into the memory of a machine's GPUs. Pure.

A lower bound: an engine takes more than that. What is not known counts as enough.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from cluster.catalogue import Model
from cluster.fleet import gpu_types
from cluster.fleet.gpu_types import GIB, TYPE_LABEL
from cluster.fleet.machine import Machine


class Demand(Struct, frozen=True):
    """What an engine of a model takes of its GPUs' memory at the least, all of them together.

    `request_bytes` are the keys and values of one request of `context_tokens`; 0 where that is not known. It gets this
    `share` of each GPU's memory.
    """

    weights_bytes: int
    request_bytes: int = 0
    context_tokens: int = 0
    share: float = 1.0

    @property
    def needed_bytes(self) -> int:
        return self.weights_bytes + self.request_bytes


def suits(model: Model, demand: Demand | None, machine: Machine) -> bool:
    """Whether the GPUs of this machine are large enough for its share of an engine, as far as is known."""
    if demand is None or (memory_bytes := _of_each(machine)) is None:
        return True
    return demand.needed_bytes <= _gpus(model) * memory_bytes * demand.share


def labels(model: Model, demand: Demand | None) -> Mapping[str, str]:
    """What a machine's labels must say, so that none is brought whose GPUs are too small."""
    if demand is None or not model.gpus or TYPE_LABEL in model.labels:
        return model.labels
    too_small = gpu_types.smaller_than(demand.needed_bytes / demand.share / _gpus(model))
    return {TYPE_LABEL: f"!in({','.join(too_small)})", **model.labels} if too_small else model.labels


def shortage(model: Model, demand: Demand | None, machines: Iterable[Machine]) -> str | None:
    """What an engine of this model needs and the largest GPUs have; None where that is not too little, or not known."""
    with_enough = [machine for machine in machines if machine.takes_seats and machine.hardware.gpu_count >= model.gpus]
    if demand is None or not with_enough or any(suits(model, demand, machine) for machine in with_enough):
        return None
    largest_bytes = max(_of_each(machine) or 0 for machine in with_enough)
    has = f"{_gpus(model)} x {_gib(largest_bytes * demand.share)} ({demand.share:g} of {_gib(largest_bytes)})"
    return f"{need(model, demand)}; the largest here have {has}"


def need(model: Model, demand: Demand) -> str:
    request = f" and {_gib(demand.request_bytes)} for one request of {demand.context_tokens:,} tokens"
    weights = f"needs {_gib(demand.weights_bytes)} of GPU memory for its weights"
    return f"{weights}{request if demand.request_bytes else ''}, on {_gpus(model)} GPUs"


def _gpus(model: Model) -> int:
    """Of all machines of an engine together: its weights and its cache are in equal parts on them."""
    return model.gpus * model.machines


def _of_each(machine: Machine) -> int | None:
    """The memory of the largest GPU there: as its node told, or else as its label says."""
    told = max((gpu.memory_bytes for gpu in machine.hardware.gpus), default=None)
    return gpu_types.memory_bytes(machine.gpu_type) if told is None else told


def _gib(amount_bytes: float) -> str:
    gib = amount_bytes / GIB
    return f"{gib:.0f} GiB" if gib >= 10 else f"{gib:.1f} GiB"
