"""What the values of vLLM's options may be, as far as their types and units say."""

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from actors.backends.vllm.sources import hint, source
from cluster.settings.checks import shown
from cluster.settings.units import size

Kinds = frozenset[Any]
"""Types, and single values."""

_TYPES: Mapping[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
_NAMES: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_FILES_OF_NAMED_KINDS = ("config/model.py", "config/cache.py")

_AT_LEAST_ONE = frozenset(
    (
        "block_size",
        "max_cpu_loras",
        "max_loras",
        "max_num_batched_tokens",
        "max_num_seqs",
        "pipeline_parallel_size",
        "tensor_parallel_size",
    )
)
_GIB = frozenset(("cpu_offload_gb", "kv_offloading_size", "mm_processor_cache_gb"))
_MOST_GIB = 65_536
_LEAST_CACHE_BYTES = 1 << 20


def named_kinds() -> Mapping[str, Kinds]:
    """The types that vLLM has names for, and of which single values are told."""
    found: dict[str, Kinds] = {}
    for statement in (statement for file in _FILES_OF_NAMED_KINDS for statement in source(file)):
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=values)),
            ) if all(isinstance(value, ast.Constant) for value in values):
                found[name] = frozenset(value.value for value in values if isinstance(value, ast.Constant))
    return found


def kind_of(annotation: ast.expr, named: Mapping[str, Kinds]) -> Kinds | None:
    """What an option with this annotation may be; None where that is more than types and single values."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            kinds = kind_of(left, named), kind_of(right, named)
            return None if None in kinds else frozenset().union(*(each for each in kinds if each))
        case ast.Constant(value=None):
            return frozenset()
        case ast.Name(id=name) if name in _TYPES:
            return frozenset({_TYPES[name]})
        case ast.Name(id=name) if named.get(name):
            return named[name]
    return None


def fault_of(option: str, value: Any, kinds: Kinds | None) -> str | None:
    """Why the option cannot be this."""
    if value is None or (option == "max_model_len" and value == "auto"):
        return None
    if kinds is not None and not _is_one(value, kinds):
        return _is_not(value, kinds)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _out_of_range(option, value)


def _is_one(value: Any, kinds: Kinds) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    of_types = tuple(each for each in kinds if isinstance(each, type))
    if isinstance(value, int) and float in of_types:
        return True
    return isinstance(value, of_types) or (isinstance(value, str) and value in kinds)


def _is_not(value: Any, kinds: Kinds) -> str:
    choices = sorted(each for each in kinds if isinstance(each, str))
    types = [_NAMES[each] for each in _NAMES if each in kinds]
    if choices and isinstance(value, str):
        return f"vLLM has no {shown(value)} here{hint(value, choices) or _listed(choices)}"
    wanted = " or ".join(types or ["one of " + ", ".join(choices)])
    return f"must be {wanted}, not {shown(value)}"


def _listed(choices: Iterable[str]) -> str:
    return f"; known are {', '.join(choices)}"


def _out_of_range(option: str, value: float) -> str | None:
    if option == "gpu_memory_utilization" and not 0 < value <= 1:
        percent = f": {value:g} % is {value / 100:g}" if 1 < value <= 100 else ""
        return f"must be a part of the memory, more than 0 and at most 1, not {value:g}{percent}"
    if option == "max_model_len" and value < 1 and value != -1:
        return f"must be at least 1, or -1 or auto for what the memory has room for, not {value:g}"
    if option in _AT_LEAST_ONE and value < 1:
        return f"must be at least 1, not {value:g}"
    if option in _GIB and not 0 <= value <= _MOST_GIB:
        in_bytes = f": as bytes that would be {size(int(value))}" if value > 0 else ""
        return f"must be in GiB, from 0 to {_MOST_GIB}, not {value:g}{in_bytes}"
    if option == "kv_cache_memory_bytes" and value < _LEAST_CACHE_BYTES:
        return f"must be in bytes, and {value:g} are next to nothing: {value:g} GiB would be {int(value * 2**30)}"
    return None
