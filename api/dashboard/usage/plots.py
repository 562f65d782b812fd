"""Usage as plots: tokens and cost of each day, by model."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from api.dashboard.plots import Plot, Series
from cluster.messages.money import UsageSum

MOST_MODELS = 5
"""Models that have a colour of their own; the others are one together."""
_MOST_BARS = 62
_MILLION = 1_000_000
_OTHERS = "others"

_Values = dict[str, list[int]]


def daily(sums: Sequence[UsageSum], first: date | None, last: date | None) -> dict[str, Plot]:
    """Plots by name, of sums by day and model; none of nothing.

    A bar is of several days where there would be too many of one.
    """
    days = [date.fromisoformat(each.groups[0]) for each in sums]
    if not days:
        return {}
    begin, end = first or min(days), last or max(days)
    step = -(-((end - begin).days + 1) // _MOST_BARS)
    bars = -(-((end - begin).days + 1) // step)
    names = _largest(sums)
    tokens, cost = _empty(names, bars), _empty(names, bars)
    for each, day in zip(sums, days, strict=True):
        name = each.groups[1] if each.groups[1] in names else _OTHERS
        bar = (day - begin).days // step
        tokens[name][bar] += each.prompt_tokens + each.completion_tokens
        cost[name][bar] += each.cost
    x = [_midnight_s(begin + timedelta(days=step * bar)) for bar in range(bars)]
    per = "a day" if step == 1 else f"in {step} days"
    return {
        "tokens": {"x": x, "unit": f"tokens {per}", "series": _series(tokens, 1), "bars": True},
        "cost": {"x": x, "unit": per, "series": _series(cost, _MILLION), "bars": True},
    }


def _largest(sums: Sequence[UsageSum]) -> list[str]:
    """The models with the most tokens, the largest first; `others` after them where there are more."""
    totals: defaultdict[str, int] = defaultdict(int)
    for each in sums:
        totals[each.groups[1]] += each.prompt_tokens + each.completion_tokens
    names = sorted(totals, key=lambda name: (-totals[name], name))
    return names if len(names) <= MOST_MODELS else [*names[:MOST_MODELS], _OTHERS]


def _empty(names: Sequence[str], bars: int) -> _Values:
    return {name: [0] * bars for name in names}


def _series(values: _Values, unit: int) -> list[Series]:
    return [{"name": name, "values": [each / unit for each in row]} for name, row in values.items()]


def _midnight_s(day: date) -> int:
    return round(datetime.combine(day, time(), UTC).timestamp())
