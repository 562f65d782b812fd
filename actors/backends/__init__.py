"""What generates tokens. `create` is the only place that knows which backends exist."""

from actors.backends.base import Backend
from cluster.catalogue import Model


def create(model: Model, source: str) -> Backend:
    """The backend of `model`, not yet loaded. `source` is its source, resolved to a folder or a hub id."""
    if model.backend == "simulated":
        from actors.backends.simulated import SimulatedBackend

        return SimulatedBackend(model.engine)
    from actors.backends.vllm.backend import VllmBackend

    return VllmBackend(model, source)


def validate_engine_options(model: Model) -> None:
    """Check what can be checked of `model.engine` without loading anything.

    vLLM's options are vLLM's own: only vLLM can judge them, and it does when the model loads.

    Raises ValueError naming the key and the reason.
    """
    if model.backend == "simulated":
        from actors.backends.simulated import parse_options

        parse_options(model.engine)
