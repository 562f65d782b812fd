"""A machine's GPUs by their kinds, and how much of them is used. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from api.nodes.schemas import Gpu


class Gpus(NamedTuple):
    """All GPUs of a kind in a machine; of those that tell, how much memory is used, and of their time on average."""

    name: str
    number: int
    memory_bytes: int
    used_bytes: int | None
    utilization: float | None


def by_kind(gpus: Iterable[Gpu]) -> list[Gpus]:
    """In the order of the first of each kind."""
    kinds: dict[str, list[Gpu]] = {}
    for gpu in gpus:
        kinds.setdefault(gpu["name"], []).append(gpu)
    return [_together(name, of_kind) for name, of_kind in kinds.items()]


def _together(name: str, of_kind: Sequence[Gpu]) -> Gpus:
    memory_bytes = sum(gpu["memory_bytes"] for gpu in of_kind)
    used = [gpu["memory_used_bytes"] for gpu in of_kind if "memory_used_bytes" in gpu]
    busy = [gpu["utilization"] for gpu in of_kind if "utilization" in gpu]
    return Gpus(name, len(of_kind), memory_bytes, sum(used) if used else None, sum(busy) / len(busy) if busy else None)
