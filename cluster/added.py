"""The adapters that admins have added to models while the system runs, beside those of the settings. Pure.

The settings go before: what admins have added under a name that the settings give to something else by now is left out,
and said to be.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from cluster.catalogue import Adapter, Catalogue, Model
from cluster.errors import BadRequest, ConfigError, Conflict
from cluster.messages.models import ModelSettings
from cluster.settings.checks import Value, name
from cluster.settings.judging import Judge

_PART_OF_PATHS = "/adapters/"
_RELATIVE = ("./", "../", "~")


class Overruled(Struct, frozen=True):
    """An adapter that an admin has added, and that the model does not have as the settings are now."""

    model: str
    adapter: Adapter
    reason: str


def with_added(models: Sequence[Model], admins: Iterable[ModelSettings]) -> tuple[Model, ...]:
    """The models of the settings, with what admins have added to them."""
    settings, of_model = Catalogue(tuple(models)), {each.model: each.adapters for each in admins}
    return tuple(_with(settings, model, of_model.get(model.id, ())) for model in models)


def overruled(models: Sequence[Model], admins: Iterable[ModelSettings]) -> Iterator[Overruled]:
    """What admins have added and is left out."""
    settings = Catalogue(tuple(models))
    for each in admins:
        if (model := settings.find(each.model)) is not None:
            reasons = ((adapter, _fault(settings, model, adapter)) for adapter in each.adapters)
            yield from (Overruled(model.id, adapter, reason) for adapter, reason in reasons if reason)


def check_new(settings: Catalogue, model: Model, adapter: Adapter, judge: Judge) -> None:
    """Raises BadRequest for what the settings could not have either, and Conflict where its name is one of theirs.

    `model` has all of its adapters.
    """
    try:
        name(Value(adapter.id, "id"))
        if _PART_OF_PATHS in adapter.id:
            raise Value(adapter.id, "id").refused(
                f"must not contain {_PART_OF_PATHS}, by which paths of adapters are read"
            )
        _check_source(Value(adapter.source, "source"), model, judge)
    except ConfigError as error:
        raise BadRequest(error.message) from None
    if reason := _has_none(model):
        raise BadRequest(reason)
    if reason := _taken(settings, adapter.id):
        raise Conflict(f"id: {reason}")
    if other := _namesake(model, adapter):
        raise BadRequest(f"id: engines cannot tell it from {other.id}: give it another one")


def _check_source(source: Value, model: Model, judge: Judge) -> None:
    if not source.content:
        if model.traits.has_source:
            raise source.refused("is required: a hub id or a folder")
        return
    if source.content.startswith(_RELATIVE):
        raise source.refused("must be the whole path of a folder: it is looked for on every machine with an engine")
    if reason := judge.adapter(source.content):
        raise source.refused(reason)


def _with(settings: Catalogue, model: Model, added: Sequence[Adapter]) -> Model:
    fitting = [adapter for adapter in added if not _fault(settings, model, adapter)]
    return replace(model, adapters=(*model.adapters, *fitting)) if fitting else model


def _fault(settings: Catalogue, model: Model, adapter: Adapter) -> str:
    """Why the model cannot have it as the settings are; nothing where it can."""
    if reason := _has_none(model) or _taken(settings, adapter.id):
        return reason
    other = _namesake(model, adapter)
    return f"engines cannot tell it from {other.id}" if other else ""


def _has_none(model: Model) -> str:
    """Why this model takes no adapters while it serves."""
    if model.pools:
        return f"{model.id} is a pooling model: it has no adapters"
    if model.machines > 1:
        return f"{model.id} is on several machines: it has the adapters of the settings alone"
    if model.engine.get("enable_lora") is False:
        return f"{model.id} has engine.enable_lora: false in the settings: it has no adapters"
    return ""


def _taken(settings: Catalogue, name: str) -> str:
    """Whose name this is in the settings, in words."""
    if settings.find(name) is None:
        return ""
    choice = settings.choice(name)
    if choice.adapter is not None:
        return f"{name} is an adapter of {choice.model.id} in the settings"
    return f"{name} is {'a model' if choice.model.id == name else 'an alias of ' + choice.model.id} in the settings"


def _namesake(model: Model, adapter: Adapter) -> Adapter | None:
    """Another one of the model's that engines know by the same number."""
    return next((other for other in model.adapters if other.number == adapter.number and other != adapter), None)
