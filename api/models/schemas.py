"""Models: those that serve, and those of the catalogue."""

from collections.abc import Callable
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from cluster import catalogue
from cluster.catalogue import Catalogue
from cluster.messages.machines import AdapterView, ModelState, ModelView

Speed = Callable[[str], int]


class Price(TypedDict):
    """Currency units per million tokens."""

    prompt: Annotated[float, Field(ge=0)]
    completion: Annotated[float, Field(ge=0)]


class ServingAdapter(TypedDict):
    """An adapter of a model: its id is submitted as a job's model."""

    id: str
    avg_tokens_per_second: Annotated[int, Field(ge=0, description="Of the last 32 completed jobs; 0 before the first")]
    engines: Annotated[int, Field(ge=0, description="Engines that have it loaded; another one loads it when needed")]
    price: Price
    source: NotRequired[Annotated[str, Field(description="A hub id, a folder or what comes with this project")]]
    set_by: Annotated[Literal["settings", "admin"], Field(description="Who lists it")]
    state_message: NotRequired[Annotated[str, Field(description="Why no jobs are taken for it now")]]


class ServingModel(TypedDict):
    """A model with a ready replica on an online node."""

    id: str
    nodes: Annotated[int, Field(ge=0, description="Machines with a ready replica")]
    avg_tokens_per_second: Annotated[int, Field(ge=0, description="Of the last 32 completed jobs; 0 before the first")]
    adapters: NotRequired[Annotated[list[ServingAdapter], Field(description="Where the catalogue has any for it")]]


class CatalogueModel(ServingModel):
    """A model of the catalogue, in whatever state."""

    state: ModelState
    replicas: Annotated[int, Field(ge=0)]
    queued: Annotated[int, Field(ge=0, description="Jobs that wait for an engine")]
    wanted: Annotated[int, Field(ge=0, description="Replicas that there are to be")]
    scaling: Annotated[str, Field(description="Why so many are wanted, with the numbers")]
    price: Price
    starting: NotRequired[Annotated[str, Field(description="What the replica waits for that will be ready first")]]
    context_length: NotRequired[Annotated[int, Field(ge=1, description="In tokens, once an engine has told it")]]
    state_message: NotRequired[Annotated[str, Field(description="Why it failed, or does not fit")]]


class ModelList(TypedDict):
    models: list[CatalogueModel] | list[ServingModel]


def model_body(view: ModelView, speed: Speed, models: Catalogue) -> ServingModel:
    """A model. `speed` tells the tokens per second of a model or an adapter by its id."""
    body: ServingModel = {"id": view.id, "nodes": view.nodes, "avg_tokens_per_second": speed(view.id)}
    if view.adapters:
        body["adapters"] = _adapters_body(view, speed, models)
    return body


def catalogue_body(view: ModelView, speed: Speed, models: Catalogue) -> CatalogueModel:
    """A model with what `?all=true` adds."""
    body: CatalogueModel = {
        "id": view.id,
        "nodes": view.nodes,
        "avg_tokens_per_second": speed(view.id),
        "state": view.state,
        "replicas": view.replicas,
        "queued": view.queued,
        "wanted": view.wanted,
        "scaling": view.scaling,
        "price": _price_body(models.model(view.id).price),
    }
    if view.adapters:
        body["adapters"] = _adapters_body(view, speed, models)
    if view.context_length:
        body["context_length"] = view.context_length
    if view.starting:
        body["starting"] = view.starting
    if view.message:
        body["state_message"] = view.message
    return body


def _adapters_body(view: ModelView, speed: Speed, models: Catalogue) -> list[ServingAdapter]:
    of_model = models.model(view.id).price
    return [_adapter_body(adapter, speed, of_model) for adapter in view.adapters]


def _adapter_body(view: AdapterView, speed: Speed, of_model: catalogue.Price) -> ServingAdapter:
    adapter = view.adapter
    body: ServingAdapter = {
        "id": adapter.id,
        "avg_tokens_per_second": speed(adapter.id),
        "engines": view.engines,
        "price": _price_body(adapter.price or of_model),
        "set_by": "admin" if adapter.added_ms else "settings",
    }
    if adapter.source:
        body["source"] = adapter.source
    if view.message:
        body["state_message"] = view.message
    return body


def _price_body(price: catalogue.Price) -> Price:
    return {"prompt": price.prompt, "completion": price.completion}
