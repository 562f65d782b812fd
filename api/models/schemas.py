"""Models: those that serve, and those of the catalogue."""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from cluster import catalogue
from cluster.messages.machines import ModelState, ModelView


class Price(TypedDict):
    """Currency units per million tokens."""

    prompt: Annotated[float, Field(ge=0)]
    completion: Annotated[float, Field(ge=0)]


class ServingModel(TypedDict):
    """A model with a ready replica on an online node."""

    id: str
    nodes: Annotated[int, Field(ge=0, description="Machines with a ready replica")]
    avg_tokens_per_second: Annotated[int, Field(ge=0, description="Of the last 32 completed jobs; 0 before the first")]


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


def model_body(view: ModelView, tokens_per_second: int) -> ServingModel:
    return {"id": view.id, "nodes": view.nodes, "avg_tokens_per_second": tokens_per_second}


def catalogue_body(view: ModelView, tokens_per_second: int, price: catalogue.Price) -> CatalogueModel:
    """A model with what `?all=true` adds."""
    body: CatalogueModel = {
        "id": view.id,
        "nodes": view.nodes,
        "avg_tokens_per_second": tokens_per_second,
        "state": view.state,
        "replicas": view.replicas,
        "queued": view.queued,
        "wanted": view.wanted,
        "scaling": view.scaling,
        "price": {"prompt": price.prompt, "completion": price.completion},
    }
    if view.context_length:
        body["context_length"] = view.context_length
    if view.starting:
        body["starting"] = view.starting
    if view.message:
        body["state_message"] = view.message
    return body
