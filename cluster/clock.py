"""The only place in cluster/ that reads a clock. Rules take the time as an argument, actors take a `Clock`."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is: `SystemClock`, or a test's own."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch: for records that outlive a process."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps: for durations within a process."""
        ...


def wall_ms() -> int:
    """Milliseconds since the Unix epoch: for records that outlive a process."""
    return time.time_ns() // 1_000_000


def wall_ns() -> int:
    """Nanoseconds since the Unix epoch: for spans, which are shorter than a millisecond."""
    return time.time_ns()


def monotonic_s() -> float:
    """Seconds on a clock that never steps: for durations within a process."""
    return time.monotonic()


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        return wall_ms()

    def monotonic_s(self) -> float:
        return monotonic_s()


SYSTEM_CLOCK = SystemClock()


def iso_utc(ms: int) -> str:
    """Whole seconds in UTC, as the API writes times: `2026-04-30T14:23:41Z`."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_month(ms: int) -> int:
    """The calendar month in UTC, as one number: 202611."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return at.year * 100 + at.month


def utc_day_number(day: str) -> int:
    """The number of a day that `utc_day` tells."""
    return (datetime.fromisoformat(day) - datetime(1970, 1, 1)).days


def utc_day(number: int) -> str:
    """The day that begins `number` days after the Unix epoch, in UTC: `2026-04-30`."""
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")
