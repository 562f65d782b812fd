"""Queries about submissions: how many a key has made in the windows that are running."""

from sqlalchemy import Connection, case, func, select

from cluster.ids import KeyId
from cluster.store.tables import JOBS

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS


def counts(connection: Connection, now_ms: int) -> dict[KeyId, tuple[int, int]]:
    """Per key with any: its jobs created in the current minute and in the current hour of the clock, UTC."""
    minute_ms = now_ms - now_ms % _MINUTE_MS
    hour_ms = now_ms - now_ms % _HOUR_MS
    in_minute = func.sum(case((JOBS.c.created_ms >= minute_ms, 1), else_=0))
    rows = connection.execute(
        select(JOBS.c.key_id, in_minute, func.count()).where(JOBS.c.created_ms >= hour_ms).group_by(JOBS.c.key_id)
    )
    return {KeyId(key_id): (int(minute), int(hour)) for key_id, minute, hour in rows}
