"""What generates tokens. The backends are made here, and only here by name; `cluster/catalogue.py` has their traits."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from actors.backends.base import Backend, Part, Place
from cluster.catalogue import BackendName, Model
from cluster.fleet.gpu_memory import Demand
from cluster.settings.judging import Fault


def create(model: Model, source: str, place: Place | None = None) -> Backend:
    """The backend of `model`, not yet loaded. `source` is its source, resolved to a folder or a hub id.

    Of a model on several machines it is the part on the first one, and `place` tells it where the others are met.
    """
    match model.backend:
        case "simulated":
            from actors.backends.simulated import SimulatedBackend

            return SimulatedBackend(model.engine, adapters=model.adapters)
        case "vllm":
            from actors.backends.vllm.backend import VllmBackend
            from actors.backends.vllm.making import make_engine

            return VllmBackend(model, source, partial(make_engine, place=place))


def create_part(model: Model, source: str, place: Place) -> Part:
    """The part of `model` on one of its further machines, not yet running."""
    match model.backend:
        case "simulated":
            from actors.backends.simulated.part import SimulatedPart

            return SimulatedPart()
        case "vllm":
            from actors.backends.vllm.part import VllmPart

            return VllmPart(model, source, place)


def option_faults(backend: BackendName, options: Mapping[str, Any]) -> Iterator[Fault]:
    """All engine options that cannot be used, as far as that can be told without loading anything."""
    match backend:
        case "simulated":
            from actors.backends.simulated import options as simulated

            return simulated.faults(options)
        case "vllm":
            from actors.backends.vllm import options as vllm

            return vllm.faults(options)


def demand(model: Model) -> Demand | None:
    """What an engine of `model` takes of GPUs' memory at the least; None where that cannot be told. Blocks.

    Raises what reading files and asking the hub raise.
    """
    if model.backend != "vllm" or not model.gpus:
        return None
    from actors.backends.vllm.model_files import read_demand

    return read_demand(model)


def process_env(model: Model, machine_cores: int) -> dict[str, str]:
    """The environment of the process that loads `model`, to be set before it starts.

    What the catalogue says in `env` goes above what the backend needs.
    """
    match model.backend:
        case "simulated":
            return dict(model.env)
        case "vllm":
            from actors.backends.vllm.environment import vllm_env

            return vllm_env(model, machine_cores) | dict(model.env)
