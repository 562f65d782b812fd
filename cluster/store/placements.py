"""Queries about placements: every attempt to run a job, and why it was made where it was."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, exists, insert, select, update

from cluster.ids import JobId
from cluster.messages.placements import Placed, Verdict
from cluster.messages.work import Ended
from cluster.store.tables.jobs import JOBS, PLACEMENTS


def add(connection: Connection, placements: Sequence[Placed]) -> None:
    """Records attempts, each once, in whatever order they are told. Attempts of unknown jobs are ignored.

    Who has seen a job run tells of its attempt without the engines considered: who placed it adds them. What was found
    in an engine's cache is added by whoever knows it.
    """
    if not placements:
        return
    connection.execute(_ADD, [_row(placed) for placed in placements])
    if reasons := [_reasons(placed) for placed in placements if placed.considered]:
        connection.execute(_ADD_REASONS, reasons)
    if found := [_found(placed) for placed in placements if placed.cached_tokens is not None]:
        connection.execute(_ADD_CACHED, found)


def hear(connection: Connection, ended: Sequence[Ended]) -> None:
    """Records when tokens were heard of the attempts of these jobs, which have ended in this transaction."""
    rows = [
        {"job": end.job_id, "number": heard.attempt, "first_ms": heard.first_ms, "last_ms": heard.last_ms}
        for end in ended
        for heard in end.heard
    ]
    if rows:
        connection.execute(_HEAR, rows)


def of_job(connection: Connection, job_id: JobId) -> list[Placed]:
    """The job's attempts, in their order."""
    wanted = select(PLACEMENTS).where(PLACEMENTS.c.job_id == job_id).order_by(PLACEMENTS.c.attempt)
    return [
        Placed(
            job_id=row.job_id,
            node_id=row.node_id,
            engine_id=row.engine_id,
            attempt=row.attempt,
            placed_ms=row.placed_ms,
            considered=msgspec.json.decode(row.considered, type=tuple[Verdict, ...]),
            moved_by=row.moved_by,
            cached_tokens=row.cached_tokens,
            passed=row.passed,
            first_ms=row.first_ms,
            last_ms=row.last_ms,
        )
        for row in connection.execute(wanted)
    ]


def _row(placed: Placed) -> dict[str, Any]:
    return _reasons(placed) | {"node_id": placed.node_id, "engine_id": placed.engine_id}


def _reasons(placed: Placed) -> dict[str, Any]:
    return {
        "job": placed.job_id,
        "number": placed.attempt,
        "placed_ms": placed.placed_ms,
        "considered": msgspec.json.encode(placed.considered).decode(),
        "moved_by": placed.moved_by,
        "passed": placed.passed,
    }


def _found(placed: Placed) -> dict[str, Any]:
    return {"job": placed.job_id, "number": placed.attempt, "cached_tokens": placed.cached_tokens}


_NO_REASONS = "[]"
_TOLD = ("node_id", "engine_id", "placed_ms", "considered", "moved_by", "passed")
_IS_ATTEMPT = (PLACEMENTS.c.job_id == bindparam("job"), PLACEMENTS.c.attempt == bindparam("number"))
_ADD = insert(PLACEMENTS).from_select(
    ["job_id", "attempt", *_TOLD],
    select(
        JOBS.c.id,
        bindparam("number", type_=PLACEMENTS.c.attempt.type),
        *(bindparam(name, type_=PLACEMENTS.c[name].type) for name in _TOLD),
    )
    .where(JOBS.c.id == bindparam("job"))
    .where(~exists().where(*_IS_ATTEMPT)),
)
_ADD_REASONS = update(PLACEMENTS).where(*_IS_ATTEMPT, PLACEMENTS.c.considered == _NO_REASONS)
_ADD_CACHED = update(PLACEMENTS).where(*_IS_ATTEMPT)
_HEAR = update(PLACEMENTS).where(*_IS_ATTEMPT)
