"""Queries about speeds: how fast the models have generated lately."""

from collections.abc import Iterator
from statistics import fmean

from sqlalchemy import Connection, func, select

from cluster.job_states import JobState
from cluster.store.tables.jobs import JOBS

_SAMPLE = 32


def averages(connection: Connection) -> dict[str, int]:
    """Per model: the mean of its last 32 completed jobs' output tokens per second of generation, if not 0."""
    speeds = {model: _average(connection, model) for model in _models(connection)}
    return {model: speed for model, speed in speeds.items() if speed}


def _models(connection: Connection) -> Iterator[str]:
    """Every model with jobs, by one step in the index per model: DISTINCT would read all jobs."""
    first = select(func.min(JOBS.c.model))
    model = connection.scalar(first)
    while model is not None:
        yield model
        model = connection.scalar(first.where(JOBS.c.model > model))


def _average(connection: Connection, model: str) -> int:
    rows = connection.execute(
        select(JOBS.c.completion_tokens, JOBS.c.placed_ms, JOBS.c.ended_ms)
        .where(JOBS.c.model == model, JOBS.c.state == JobState.COMPLETED.value)
        .where(JOBS.c.placed_ms.is_not(None))
        .order_by(JOBS.c.ended_ms.desc())
        .limit(_SAMPLE)
    )
    # Clocks are coarse and of different machines: no generation took less than a millisecond.
    rates = [1000 * tokens / max(1, ended_ms - placed_ms) for tokens, placed_ms, ended_ms in rows]
    return round(fmean(rates)) if rates else 0
