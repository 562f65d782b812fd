"""The models a system serves, as its settings list them."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from cluster.errors import ModelNotFound

BackendName = Literal["vllm", "simulated"]

BUILTIN_PREFIX = "builtin:"
MAX_NAME_CHARACTERS = 128


class Replicas(Struct, frozen=True):
    """How many replicas there may be at once."""

    min: int = 1
    max: int = 1


class Price(Struct, frozen=True):
    """Currency units per million tokens."""

    prompt: float = 0.0
    completion: float = 0.0


class Model(Struct, frozen=True):
    """One entry of the catalogue. `gpus` and `cpus` are per replica; `engine` goes to the backend as it is.

    `source` is a hub id, a folder, or `builtin:` and the name of a model that comes with this project.
    `env` is set for the processes of its engines.
    """

    id: str
    aliases: tuple[str, ...] = ()
    backend: BackendName = "vllm"
    source: str = ""
    gpus: int = 1
    cpus: float = 1.0
    replicas: Replicas = Replicas()
    max_queue: int = 1000
    engine: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    price: Price = Price()


CAPITALS = Model(id="capitals", source=f"{BUILTIN_PREFIX}capitals", gpus=0)


class Catalogue:
    """Models by id and by alias."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        self.models = models
        self._by_name = {name: model for model in models for name in (model.id, *model.aliases)}

    def find(self, name: str) -> Model | None:
        """The model with this id or alias."""
        return self._by_name.get(name)

    def model(self, name: str) -> Model:
        """The model with this id or alias. Raises ModelNotFound."""
        model = self.find(name)
        if model is None:
            raise ModelNotFound(f"Model {name} is not registered on the network")
        return model
