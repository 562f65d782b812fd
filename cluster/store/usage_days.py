"""Queries about the sums of usage: one for each day, key and model, however many jobs there were."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, insert, literal, select, update

from cluster.store.tables.usage import USAGE_DAYS

DAY_MS: Final = 86_400_000
COUNTS: Final = ("jobs", "prompt_tokens", "completion_tokens", "cost")

_NAMES = ("account_id", "day", "key_id", "model")


def add(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Adds these new rows of usage to the sums of their days."""
    sums: dict[tuple[Any, ...], Counter[str]] = {}
    for row in rows:
        name = (row["account_id"], row["ended_ms"] // DAY_MS, row["key_id"], row["model"])
        sums.setdefault(name, Counter()).update({"jobs": 1, **{count: row[count] for count in COUNTS[1:]}})
    # In one order, whoever writes: two that add to the same rows wait for each other, and not both for the other.
    changes = [_named(name, "of_") | _counted(sums[name]) for name in sorted(sums)]
    connection.execute(_BEGIN, changes)
    connection.execute(_ADD, changes)


def _named(name: tuple[Any, ...], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{column}": value for column, value in zip(_NAMES, name, strict=True)}


def _counted(counts: Counter[str]) -> dict[str, int]:
    return {f"more_{count}": counts[count] for count in COUNTS}


_GIVEN = {name: bindparam(f"of_{name}", type_=USAGE_DAYS.c[name].type) for name in _NAMES}
_IS_DAY = tuple(USAGE_DAYS.c[name] == given for name, given in _GIVEN.items())

# Not "on conflict do update": every kind of database says that in words of its own.
_BEGIN = insert(USAGE_DAYS).from_select(
    [*_NAMES, *COUNTS], select(*_GIVEN.values(), *(literal(0) for _ in COUNTS)).where(~exists().where(*_IS_DAY))
)
_ADD = (
    update(USAGE_DAYS)
    .where(*_IS_DAY)
    .values({count: USAGE_DAYS.c[count] + bindparam(f"more_{count}") for count in COUNTS})
)
