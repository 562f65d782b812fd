"""What became of a job, in the order in which it did. Pure."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from cluster.messages.explanations import Moment
from cluster.messages.placements import Heard, Placed
from cluster.messages.records import EndedRecord, JobRecord


def timeline(record: JobRecord, attempts: Sequence[Placed], heard: Sequence[Heard] = ()) -> tuple[Moment, ...]:
    """Every moment of a job with these attempts. `heard` is what was heard of them that is not written down yet."""
    moments: list[Moment] = []
    for moment in _moments(record, attempts, {each.attempt: each for each in heard}):
        # Told by several processes: none of them comes before the one that led to it.
        at_ms = max(moment.at_ms, moments[-1].at_ms) if moments else moment.at_ms
        moments.append(replace(moment, at_ms=at_ms))
    return tuple(moments)


def _moments(record: JobRecord, attempts: Sequence[Placed], heard: dict[int, Heard]) -> Iterator[Moment]:
    yield Moment("queued", record.created_ms)
    before: Placed | None = None
    for placed in attempts:
        where = placed.attempt, placed.node_id, placed.engine_id
        if before is not None:
            lost_ms = _last_ms(before, heard) or placed.placed_ms
            yield Moment("moved", lost_ms, before.attempt, before.node_id, before.engine_id, placed.moved_by)
        yield Moment("placed", placed.placed_ms, *where)
        if (first_ms := _first_ms(placed, heard)) is not None:
            yield Moment("first_token", first_ms, *where)
        before = placed
    if isinstance(record, EndedRecord):
        yield Moment("ended", record.ended_ms)


def _first_ms(placed: Placed, heard: dict[int, Heard]) -> int | None:
    return heard[placed.attempt].first_ms if placed.attempt in heard else placed.first_ms


def _last_ms(placed: Placed, heard: dict[int, Heard]) -> int | None:
    return heard[placed.attempt].last_ms if placed.attempt in heard else placed.last_ms
