"""What `static/plots.js` draws: columns of numbers over a common axis of time. None is a gap."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

from cluster.measures.history import History


class Series(TypedDict):
    """One line of a plot."""

    name: str
    values: Sequence[float | None]


class Plot(TypedDict):
    """Lines over `x`, in seconds since the Unix epoch. `unit` is written after each number.

    With `bars` they are bars of days of UTC, those of all series on top of each other.
    """

    x: Sequence[int]
    unit: str
    series: Sequence[Series]
    bars: NotRequired[bool]


def hour(history: History) -> dict[str, Plot]:
    """The plots of the last minutes, by name."""
    minutes = history.minutes
    x = [minute.start_ms // 1000 for minute in minutes]

    def plot(unit: str, **series: Sequence[float | None]) -> Plot:
        return {"x": x, "unit": unit, "series": [{"name": name, "values": values} for name, values in series.items()]}

    return {
        "tokens": plot("tokens/s", Generated=[_rounded(minute.tokens_per_second) for minute in minutes]),
        "jobs": plot(
            "jobs", Waiting=[minute.queued for minute in minutes], Running=[minute.running for minute in minutes]
        ),
        "first-text": plot(
            "ms",
            p50=[_milliseconds(minute.first_text_p50_s) for minute in minutes],
            p95=[_milliseconds(minute.first_text_p95_s) for minute in minutes],
        ),
        "ended": plot(
            "jobs",
            # How many end in the current minute is not known before it is over.
            Completed=[*(minute.completed for minute in minutes[:-1]), None],
            Failed=[*(minute.failed for minute in minutes[:-1]), None],
        ),
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)


def _milliseconds(seconds: float | None) -> float | None:
    return _rounded(None if seconds is None else 1000 * seconds)
