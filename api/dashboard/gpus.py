"""A machine's GPUs by their kinds, and how much of them is used. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from cluster.messages.machines import Gpu, GpuLoad, NodeView

_NOT_TOLD = GpuLoad(None, None)


class Gpus(NamedTuple):
    """All GPUs of a kind in a machine; of those that tell, how much memory is used, and of their time on average."""

    name: str
    number: int
    memory_bytes: int
    used_bytes: int | None
    utilization: float | None


def by_kind(view: NodeView) -> list[Gpus]:
    """In the order of the first of each kind."""
    gpus = view.hardware.gpus
    loads = (*view.gpu_loads, *[_NOT_TOLD] * len(gpus))[: len(gpus)]
    kinds: dict[str, list[tuple[Gpu, GpuLoad]]] = {}
    for gpu, load in zip(gpus, loads, strict=True):
        kinds.setdefault(gpu.name, []).append((gpu, load))
    return [_together(name, of_kind) for name, of_kind in kinds.items()]


def _together(name: str, of_kind: Sequence[tuple[Gpu, GpuLoad]]) -> Gpus:
    memory_bytes = sum(gpu.memory_bytes for gpu, _ in of_kind)
    used = [load.memory_used_bytes for _, load in of_kind if load.memory_used_bytes is not None]
    busy = [load.utilization for _, load in of_kind if load.utilization is not None]
    return Gpus(name, len(of_kind), memory_bytes, sum(used) if used else None, sum(busy) / len(busy) if busy else None)
