"""What `static/plots.js` draws: columns of numbers over a common axis of time. None is a gap."""

from collections.abc import Sequence
from typing import TypedDict

from cluster.measures.history import History


class Series(TypedDict):
    """One line of a plot."""

    name: str
    values: Sequence[float | None]


class Plot(TypedDict):
    """Lines over `x`, in seconds since the Unix epoch. `unit` is written after each number."""

    x: Sequence[int]
    unit: str
    series: Sequence[Series]


def hour(history: History) -> dict[str, Plot]:
    """The plots of the last minutes, by name. The current minute is not over, and is left out."""
    minutes = history.minutes[:-1]
    x = [minute.start_ms // 1000 for minute in minutes]

    def plot(unit: str, **series: Sequence[float | None]) -> Plot:
        return {"x": x, "unit": unit, "series": [{"name": name, "values": values} for name, values in series.items()]}

    return {
        "tokens": plot("tokens/s", Generated=[_rounded(minute.tokens_per_second, 1) for minute in minutes]),
        "jobs": plot(
            "jobs", Waiting=[minute.queued for minute in minutes], Running=[minute.running for minute in minutes]
        ),
        "first-text": plot(
            "s",
            p50=[_rounded(minute.first_text_p50_s, 3) for minute in minutes],
            p95=[_rounded(minute.first_text_p95_s, 3) for minute in minutes],
        ),
        "ended": plot(
            "jobs",
            Completed=[minute.completed for minute in minutes],
            Failed=[minute.failed for minute in minutes],
        ),
    }


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)
