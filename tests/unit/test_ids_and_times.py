"""Identifiers, and times as the API writes them."""

import re
import time
from collections.abc import Iterator
from datetime import date

import pytest

from cluster import clock, ids
from cluster.clock import SYSTEM_CLOCK, SystemClock

# 2026-04-30T14:23:41.999Z
APRIL_MS = 1_777_559_021_999


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (ids.new_job_id, "job"),
        (ids.new_account_id, "acct"),
        (ids.new_key_id, "key"),
        (ids.new_reader_id, "reader"),
    ],
)
def test_an_id_is_its_kind_and_20_hex_digits_that_differ_each_time(make: object, kind: str) -> None:
    assert callable(make)
    made = {make() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(rf"{kind}_[0-9a-f]{{20}}", each) for each in made)


def test_a_nodes_id_is_the_beginning_of_rays() -> None:
    assert ids.node_id("00000000000000000123456789abcdef") == "node_0123456789abcdef"


@pytest.fixture(autouse=True, params=["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wherever the machine is, these are the same."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_times_are_whole_seconds_in_utc() -> None:
    assert clock.iso_utc(APRIL_MS) == "2026-04-30T14:23:41Z"
    assert clock.iso_utc(0) == "1970-01-01T00:00:00Z"


def test_a_month_is_one_number() -> None:
    assert clock.utc_month(APRIL_MS) == 202604
    # The last second of the month, and the next.
    assert [clock.utc_month(ms) for ms in (1_777_593_599_999, 1_777_593_600_000)] == [202604, 202605]


def test_days_are_counted_from_the_epoch() -> None:
    assert clock.utc_day(0) == "1970-01-01"
    assert clock.utc_day(APRIL_MS // 86_400_000) == "2026-04-30"
    assert clock.utc_day((date(2399, 12, 31) - date(1970, 1, 1)).days) == "2399-12-31"


@pytest.mark.parametrize("source", [clock, SystemClock(), SYSTEM_CLOCK])
def test_the_systems_clocks_are_the_machines(source: object) -> None:
    read = {name: getattr(source, name) for name in ("wall_ms", "monotonic_s")}
    before_ms, before_s = time.time_ns() // 1_000_000, time.monotonic()
    wall_ms, monotonic_s = read["wall_ms"](), read["monotonic_s"]()
    assert before_ms <= wall_ms <= time.time_ns() // 1_000_000
    assert isinstance(wall_ms, int)
    assert before_s <= monotonic_s <= time.monotonic()
