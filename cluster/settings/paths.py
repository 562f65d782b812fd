"""Paths in settings: those of models and adapters, and of a file that has the database's URL.

Relative ones begin at the settings file's folder, and `~` is the home of who starts the system.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from cluster.catalogue import BUILTIN_PREFIX, is_local
from cluster.settings.checks import Value
from cluster.settings.references import FILE

Change = Callable[[Value], Value]


def read_paths(layer: Value, folder: Path) -> Value:
    """The layer with whole paths in the place of those that it has."""

    def source(value: Value) -> Value:
        return _as(value, str(_whole(value.content, folder))) if _is_path(value.content, folder) else value

    def database(value: Value) -> Value:
        if not isinstance(value.content, str) or not value.content.startswith(FILE):
            return value
        return _as(value, FILE + str(_whole(value.content.removeprefix(FILE), folder)))

    def model(value: Value) -> Value:
        return _changed(
            _changed(value, "source", source), "adapters", _each(lambda each: _changed(each, "source", source))
        )

    return _changed(_changed(layer, "database", database), "models", _each(model))


def _is_path(source: object, folder: Path) -> bool:
    """Whether it is a folder's and no hub id: by its looks, or because there is such a one beside the settings."""
    if not isinstance(source, str) or not source or source.startswith(BUILTIN_PREFIX) or "\0" in source:
        return False
    return is_local(source) or source in (".", "..") or ("://" not in source and (folder / source).exists())


def _whole(written: str, folder: Path) -> Path:
    """Without `~` where nobody's home is known, the path stays as it is."""
    try:
        return (folder / Path(written).expanduser()).absolute()
    except RuntimeError:
        return Path(written)


def _as(value: Value, content: str) -> Value:
    return replace(value, content=content, written="")


def _changed(value: Value, key: str, change: Change) -> Value:
    match value.content:
        case dict() as mapping if key in mapping:
            return replace(value, content=mapping | {key: change(mapping[key])})
        case _:
            return value


def _each(change: Change) -> Change:
    def changed(value: Value) -> Value:
        return (
            replace(value, content=[change(item) for item in value.content])
            if isinstance(value.content, list)
            else value
        )

    return changed
