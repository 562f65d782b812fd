"""Queries about what admins have set of models while the system runs."""

from msgspec import UNSET
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, RowMapping, delete, insert, select

from cluster.catalogue import Replicas
from cluster.fleet import bounds
from cluster.messages.models import BoundsChange, ModelSettings
from cluster.store import adapters
from cluster.store.tables.models import MODEL_SETTINGS


def all_of_them(connection: Connection) -> list[ModelSettings]:
    """Of the models of which anything has been set."""
    rows = connection.execute(select(MODEL_SETTINGS)).mappings()
    settings = {row["model"]: _settings(row) for row in rows}
    for model, theirs in adapters.by_model(connection).items():
        current, removed = theirs
        settings[model] = replace(settings.get(model, ModelSettings(model)), adapters=current, removed=removed)
    return list(settings.values())


def change_bounds(connection: Connection, model: str, change: BoundsChange, replicas: Replicas) -> ModelSettings:
    """What is set of the model then; repeated, nothing changes any more. `replicas` is what its settings say.

    Raises BadRequest for bounds that do not go together.
    """
    changed = {name: value for name, value in asdict(change).items() if value is not UNSET}
    asked = replace(_of_model(connection, model), **changed)
    bounds.check(replicas, asked)
    return _put(connection, asked)


def restart(connection: Connection, model: str, restarts: int) -> ModelSettings:
    """Its engines have been restarted so many times, or more often already."""
    known = _of_model(connection, model)
    return _put(connection, replace(known, restarts=max(known.restarts, restarts)))


def _of_model(connection: Connection, model: str) -> ModelSettings:
    row = connection.execute(select(MODEL_SETTINGS).where(MODEL_SETTINGS.c.model == model)).mappings().first()
    return ModelSettings(model) if row is None else _settings(row)


def _put(connection: Connection, settings: ModelSettings) -> ModelSettings:
    connection.execute(delete(MODEL_SETTINGS).where(MODEL_SETTINGS.c.model == settings.model))
    columns = MODEL_SETTINGS.columns.keys()
    connection.execute(insert(MODEL_SETTINGS).values({name: getattr(settings, name) for name in columns}))
    return settings


def _settings(row: RowMapping) -> ModelSettings:
    """What its row says: its adapters have rows of their own."""
    return ModelSettings(**row)
