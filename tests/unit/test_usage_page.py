"""The Usage page's periods and plots."""

from datetime import UTC, date, datetime

from api.dashboard.usage.periods import Period
from api.dashboard.usage.plots import MOST_MODELS, daily
from cluster.messages.money import UsageSum

NOW_MS = round(datetime(2026, 3, 5, 23, 59, tzinfo=UTC).timestamp() * 1000)


def test_periods_are_whole_days_of_utc() -> None:
    month = Period.of("month", None, None, NOW_MS)
    assert month.query() == {"since": "2026-03-01T00:00:00Z", "until": "2026-03-06T00:00:00Z"}
    week = Period.of("7", None, None, NOW_MS)
    assert (week.first, week.last) == (date(2026, 2, 27), date(2026, 3, 5))
    days = Period.of("days", date(2026, 2, 28), date(2026, 2, 28), NOW_MS)
    assert days.query() == {"since": "2026-02-28T00:00:00Z", "until": "2026-03-01T00:00:00Z"}


def test_a_period_may_have_no_end_at_a_side() -> None:
    assert Period.of("days", None, None, NOW_MS).query() == {}
    assert Period.of("days", date(2026, 1, 1), date.max, NOW_MS).query() == {"since": "2026-01-01T00:00:00Z"}


def a_sum(day: str, model: str, tokens: int, cost: int = 0) -> UsageSum:
    return UsageSum((day, model), 1, tokens - 1, 1, cost)


def test_every_day_has_a_bar_and_all_bars_add_up() -> None:
    sums = [a_sum("2026-03-01", "a", 10, 1_500_000), a_sum("2026-03-03", "a", 5), a_sum("2026-03-03", "b", 40)]
    plots = daily(sums, date(2026, 3, 1), date(2026, 3, 4))
    assert [each["name"] for each in plots["tokens"]["series"]] == ["b", "a"]
    assert [each["values"] for each in plots["tokens"]["series"]] == [[0, 0, 40, 0], [10, 0, 5, 0]]
    assert [each["values"] for each in plots["cost"]["series"]] == [[0, 0, 0, 0], [1.5, 0, 0, 0]]
    assert plots["tokens"]["x"][1] - plots["tokens"]["x"][0] == 86_400


def test_models_beyond_the_largest_are_one_together() -> None:
    sums = [a_sum("2026-03-01", f"m{number}", 10 + number) for number in range(MOST_MODELS + 3)]
    plots = daily(sums, date(2026, 3, 1), date(2026, 3, 1))
    names = [each["name"] for each in plots["tokens"]["series"]]
    assert names == ["m7", "m6", "m5", "m4", "m3", "others"]
    assert plots["tokens"]["series"][-1]["values"] == [10 + 11 + 12]


def test_many_days_are_few_bars() -> None:
    sums = [a_sum("2020-01-01", "a", 7), a_sum("2026-03-05", "a", 9)]
    plots = daily(sums, None, None)
    (series,) = plots["tokens"]["series"]
    assert len(series["values"]) <= 62
    assert (series["values"][0], series["values"][-1], sum(value or 0 for value in series["values"])) == (7, 9, 16)
    assert plots["tokens"]["unit"] == "tokens in 37 days"


def test_nothing_is_no_plot() -> None:
    assert daily([], None, None) == {}
