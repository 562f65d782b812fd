"""The models that a key may use, as OpenAI's clients read them."""

from typing import Literal

from typing_extensions import TypedDict

from cluster.messages.machines import ModelView
from cluster.messages.people import Principal

# The catalogue keeps no dates, and OpenAI's clients expect one.
_CREATED = 0


class OpenAIModel(TypedDict):
    """A model. vLLM's `max_model_len` is its context in tokens, null before an engine has told of it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int | None


class OpenAIModelList(TypedDict):
    object: Literal["list"]
    data: list[OpenAIModel]


def may_be_submitted(view: ModelView, caller: Principal) -> bool:
    """Whether a job of this caller for this model would be accepted, as far as is known now."""
    if caller.models and view.id not in caller.models:
        return False
    return view.nodes > 0 or (view.fits and view.state in ("starting", "idle"))


def model_body(view: ModelView) -> OpenAIModel:
    return {
        "id": view.id,
        "object": "model",
        "created": _CREATED,
        "owned_by": "infernet",
        "max_model_len": view.context_length or None,
    }
