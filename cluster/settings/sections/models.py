"""The catalogue: all models that there are to be, and what no two of them may share."""

from collections.abc import Iterator
from functools import partial

from cluster.catalogue import Adapter, Model
from cluster.settings.checks import Value, list_of, shown
from cluster.settings.judging import Judge
from cluster.settings.mistakes import Mistakes
from cluster.settings.sections.model import items, model_of


def models(judge: Judge, value: Value) -> tuple[Model, ...]:
    mistakes = Mistakes()
    listed: tuple[Model, ...] = ()
    with mistakes.noted():
        listed = list_of(partial(model_of, judge))(value)
        if not listed:
            raise value.refused("must list at least one model")
    owners: dict[str, int] = {}
    for index, owned in _names(value):
        with mistakes.noted():
            if owned.content in owners:
                raise owned.refused(f"{shown(owned.content)} is already a name of models[{owners[owned.content]}]")
            owners[owned.content] = index
    mistakes.tell()
    _check_numbers(value, listed)
    return listed


def _check_numbers(value: Value, models: tuple[Model, ...]) -> None:
    """Engines know adapters by numbers made of their ids, and two of one model must not have the same."""
    for index, model in enumerate(models):
        owners: dict[int, Adapter] = {}
        for place, adapter in enumerate(model.adapters):
            other = owners.setdefault(adapter.number, adapter)
            if other is not adapter:
                written = value.content[index].content["adapters"].content[place].content["id"]
                raise written.refused(f"engines cannot tell it from {shown(other.id)}: give it another id")


def _names(models: Value) -> Iterator[tuple[int, Value]]:
    """All names that are written, of models that can be used or not, each with its model's place."""
    for index, model in enumerate(models.content if isinstance(models.content, list) else ()):
        given = model.content if isinstance(model.content, dict) else {}
        adapters = items(given.get("adapters"))
        theirs = (adapter.content.get("id") for adapter in adapters if isinstance(adapter.content, dict))
        for each in (given.get("id"), *items(given.get("aliases")), *theirs):
            if each is not None and isinstance(each.content, str):
                yield index, each
