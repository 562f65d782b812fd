"""The models that a key may use, as OpenAI's clients read them."""

from collections.abc import Iterator, Sequence
from typing import Literal

from typing_extensions import TypedDict

from cluster.catalogue import Catalogue, Choice
from cluster.messages.machines import ModelView
from cluster.messages.people import Principal

# The catalogue keeps no dates, and OpenAI's clients expect one.
_CREATED = 0


class OpenAIModel(TypedDict):
    """A model, or an adapter of one, its `parent`. `root` is its source.

    vLLM's `max_model_len` is its context in tokens, null before an engine has told of it.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int | None
    root: str
    parent: str | None


class OpenAIModelList(TypedDict):
    object: Literal["list"]
    data: list[OpenAIModel]


def usable(catalogue: Catalogue, views: Sequence[ModelView], caller: Principal) -> Iterator[OpenAIModel]:
    """What jobs of this caller would be accepted for, as far as is known now: models, each before its adapters."""
    for view in views:
        if not (view.nodes > 0 or (view.fits and view.state in ("starting", "idle"))):
            continue
        model = catalogue.model(view.id)
        adapters = [each.adapter for each in view.adapters if not each.missing]
        for choice in (Choice(model), *(Choice(model, adapter) for adapter in adapters)):
            if caller.may_use(view.id, choice.adapter_id):
                yield _body(view, choice)


def _body(view: ModelView, choice: Choice) -> OpenAIModel:
    source, parent = (choice.model.source, None) if choice.adapter is None else (choice.adapter.source, choice.model.id)
    return {
        "id": choice.id,
        "object": "model",
        "created": _CREATED,
        "owned_by": "infernet",
        "max_model_len": view.context_length or None,
        "root": source or choice.id,
        "parent": parent,
    }
