"""How much memory a GPU of a type has, where only its type is known: that of a machine on which nothing runs yet."""

from collections.abc import Mapping

TYPE_LABEL = "ray.io/accelerator-type"
"""The label by which Ray tells of a machine's GPUs."""

GIB = 2**30

_GIB: Mapping[str, int] = {
    "K80": 12,
    "P4": 8,
    "P100": 16,
    "V100": 32,
    "T4": 16,
    "A10G": 24,
    "A100": 80,
    "A100-40G": 40,
    "A100-80G": 80,
    "L4": 24,
    "L40S": 48,
    "H20": 141,
    "H100": 96,
    "H200": 141,
    "B200": 192,
    "B300": 288,
    "GB200": 192,
    "GB300": 288,
    "RTX-PRO-6000": 96,
}
"""NVIDIA's types by Ray's names (`ray.util.accelerators`), with the memory that NVIDIA's data sheets give. Of a name
that stands for several products, the most that any of them has."""


def memory_bytes(gpu_type: str) -> int | None:
    """The most that a GPU of this type has; None of one that is not known."""
    gib = _GIB.get(gpu_type)
    return None if gib is None else gib * GIB


def smaller_than(needed_bytes: float) -> list[str]:
    """The types of which every GPU has less."""
    return sorted(gpu_type for gpu_type, gib in _GIB.items() if gib * GIB < needed_bytes)
