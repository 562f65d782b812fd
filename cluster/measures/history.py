"""The last minutes, as admins are told of them."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from cluster.measures import buckets
from cluster.measures.activity import MINUTE_MS, ActiveMinute
from cluster.measures.measures import Measures


class EndedMinutes(Struct, frozen=True):
    """What has ended in each of the last minutes, of all models, by the minute since the Unix epoch; and what all that
    has ended today, in UTC, costs.
    """

    minutes: Mapping[int, Measures]
    cost_today: int


class Minute(Struct, frozen=True):
    """One minute: what ended in it, and what was seen of it, None where nobody looked.

    `first_text_p50_s` and `first_text_p95_s` are of the jobs that completed, None where none did.
    """

    start_ms: int
    completed: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
    first_text_p50_s: float | None
    first_text_p95_s: float | None
    queued: int | None
    running: int | None
    tokens_per_second: float | None


class History(Struct, frozen=True):
    """The last minutes, the oldest first; the last one is not over. First texts are those of all together."""

    minutes: Sequence[Minute]
    cost_today: int
    first_text_p50_s: float | None = None
    first_text_p95_s: float | None = None


def history(now_ms: int, minutes: int, ended: EndedMinutes, active: Sequence[ActiveMinute]) -> History:
    """The last so many minutes, each of them, of which this has ended and this was seen."""
    current = now_ms // MINUTE_MS
    seen = {each.minute: each for each in active}
    told = [
        _minute(number, ended.minutes.get(number) or Measures(), seen.get(number))
        for number in range(current - minutes + 1, current + 1)
    ]
    whole = Measures()
    for minute, measures in ended.minutes.items():
        if minute > current - minutes:
            whole.first_text.merge(measures.first_text)
    return History(told, ended.cost_today, *_first_text(whole))


def _first_text(ended: Measures) -> tuple[float | None, float | None]:
    """After how many seconds half and 95 % of those that completed had their first text."""
    half, most = (ended.first_text.quantile(share, buckets.FIRST_TOKEN_S) for share in (0.5, 0.95))
    return half, most


def _minute(number: int, ended: Measures, active: ActiveMinute | None) -> Minute:
    half, most = _first_text(ended)
    return Minute(
        start_ms=number * MINUTE_MS,
        completed=ended.completed,
        failed=sum(ended.failures.values()),
        prompt_tokens=ended.prompt_tokens,
        completion_tokens=ended.completion_tokens,
        cost=ended.cost,
        first_text_p50_s=half,
        first_text_p95_s=most,
        queued=None if active is None else active.queued,
        running=None if active is None else active.running,
        tokens_per_second=None if active is None else active.tokens_per_second,
    )
