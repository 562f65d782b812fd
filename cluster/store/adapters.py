"""Queries about the adapters that admins have added to models."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, select, update

from cluster.catalogue import Adapter, Price
from cluster.errors import Conflict
from cluster.job_states import JobState
from cluster.store.tables.jobs import JOBS
from cluster.store.tables.models import ADAPTERS

Adapters = tuple[Adapter, ...]

_OPEN = (JobState.PENDING.value, JobState.PROCESSING.value)
_GRACE_MS = 60_000
"""A job that was accepted before its adapter was removed is durable by then."""


def by_model(connection: Connection) -> Mapping[str, tuple[Adapters, Adapters]]:
    """Those that each model has, the oldest first, and those that have been removed from it."""
    found: dict[str, tuple[list[Adapter], list[Adapter]]] = {}
    for row in connection.execute(select(ADAPTERS).order_by(ADAPTERS.c.added_ms, ADAPTERS.c.id)):
        current, removed = found.setdefault(row.model, ([], []))
        (current if row.removed_ms is None else removed).append(_adapter(row))
    return {model: (tuple(current), tuple(removed)) for model, (current, removed) in found.items()}


def add(connection: Connection, model: str, adapter: Adapter) -> Adapter:
    """The model has this adapter then. Of one that it has already, as it is, nothing changes.

    Raises Conflict where there is another one of this id.
    """
    there = connection.execute(
        select(ADAPTERS).where(ADAPTERS.c.id == adapter.id, ADAPTERS.c.removed_ms.is_(None))
    ).first()
    if there is not None:
        known = _adapter(there)
        if there.model == model and (known.source, known.price) == (adapter.source, adapter.price):
            return known
        raise Conflict(f"id: {adapter.id} is an adapter of {there.model} already{_of(known, adapter)}")
    return _insert(connection, model, adapter)


def remove(connection: Connection, model: str, adapter_id: str, now_ms: int) -> None:
    """The model has no adapter of this id any more. May be repeated."""
    theirs = ADAPTERS.c.model == model, ADAPTERS.c.id == adapter_id, ADAPTERS.c.removed_ms.is_(None)
    connection.execute(update(ADAPTERS).where(*theirs).values(removed_ms=now_ms))


def forget(connection: Connection, now_ms: int) -> None:
    """Forget those that were removed some time ago, and of which no job is open any more."""
    made_before = JOBS.c.created_ms <= ADAPTERS.c.removed_ms + _GRACE_MS
    is_of_it = JOBS.c.model == ADAPTERS.c.id, JOBS.c.state.in_(_OPEN), made_before
    is_past = ADAPTERS.c.removed_ms < now_ms - _GRACE_MS
    connection.execute(delete(ADAPTERS).where(is_past, ~exists().where(*is_of_it)))


def _insert(connection: Connection, model: str, adapter: Adapter) -> Adapter:
    """No two of an id were added at the same time: engines tell them from each other by it."""
    last = connection.scalar(select(func.max(ADAPTERS.c.added_ms)).where(ADAPTERS.c.id == adapter.id)) or 0
    added_ms = max(adapter.added_ms, last + 1)
    price = adapter.price
    connection.execute(
        insert(ADAPTERS).values(
            id=adapter.id,
            added_ms=added_ms,
            model=model,
            source=adapter.source,
            prompt_price=None if price is None else price.prompt,
            completion_price=None if price is None else price.completion,
        )
    )
    return Adapter(adapter.id, adapter.source, price, added_ms)


def _of(known: Adapter, asked: Adapter) -> str:
    if known.source != asked.source:
        return ", from another source: remove it first"
    return "" if known.price == asked.price else ", at another price: remove it first"


def _adapter(row: Row[Any]) -> Adapter:
    price = None if row.prompt_price is None else Price(row.prompt_price, row.completion_price)
    return Adapter(row.id, row.source, price, row.added_ms)
