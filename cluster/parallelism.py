"""How a replica of vLLM is split: over the GPUs of a machine by tensors, over machines by layers. Pure."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

from cluster.catalogue import Model

TENSORS, LAYERS, PREFILL = "tensor_parallel_size", "pipeline_parallel_size", "prefill_context_parallel_size"
REPLICAS = "data_parallel_size"
_OURS = ("nnodes", "node_rank", "master_addr", "master_port", "distributed_executor_backend", "worker_cls")
"""What is said to each machine's part, or follows from it."""


class Split(NamedTuple):
    """So many parts of each tensor, and so many stages of layers."""

    tensors: int
    layers: int


class Contradiction(NamedTuple):
    """An engine option that does not go with what the model books, and why."""

    option: str
    reason: str


def split(model: Model) -> Split:
    """As its engine options say, and where they do not: a tensor over a machine's GPUs, a stage for each machine."""
    tensors, layers = _given(model, TENSORS), _given(model, LAYERS)
    parts = max(model.gpus, 1) * model.machines // _given_or_one(model, PREFILL)
    if tensors is None:
        tensors = max(parts // layers, 1) if layers is not None else max(parts // model.machines, 1)
    return Split(tensors, max(parts // tensors, 1) if layers is None else layers)


def contradictions(model: Model) -> Iterator[Contradiction]:
    """The engine options of a replica over several machines that cannot be meant. On one, vLLM judges them."""
    if model.machines == 1:
        return
    for option in _OURS:
        if option in model.engine:
            yield Contradiction(option, "follows from machines: leave it out")
    if _given_or_one(model, REPLICAS) != 1:
        yield Contradiction(REPLICAS, "must be 1 over several machines: write replicas instead")
    given = [option for option in (TENSORS, LAYERS, PREFILL) if option in model.engine]
    if given and (reason := _misfit(model)):
        yield Contradiction(given[0], reason)


def _misfit(model: Model) -> str | None:
    """Why the parts cannot be dealt out to the machines."""
    whole = split(model)
    parts = prod((whole.tensors, whole.layers, _given_or_one(model, PREFILL)))
    said = f"{TENSORS} {whole.tensors} x {LAYERS} {whole.layers}"
    booked = model.gpus * model.machines
    if model.gpus and parts != booked:
        return f"{said} makes {parts} parts, and {model.machines} machines with {model.gpus} GPUs have {booked} GPUs"
    if parts % model.machines:
        return f"{said} makes {parts} parts, which {model.machines} machines cannot share evenly"
    return None


def _given(model: Model, option: str) -> int | None:
    options: Mapping[str, Any] = model.engine
    given = options.get(option)
    return given if isinstance(given, int) and given > 0 else None


def _given_or_one(model: Model, option: str) -> int:
    return _given(model, option) or 1
