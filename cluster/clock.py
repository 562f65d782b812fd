"""The only place that reads a clock. Rules take the time as an argument."""

import time
from datetime import UTC, datetime


def wall_ms() -> int:
    """Milliseconds since the Unix epoch: for records that outlive a process."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Seconds on a clock that never steps: for durations within a process."""
    return time.monotonic()


def iso_utc(ms: int) -> str:
    """Whole seconds in UTC, as the API writes times: `2026-04-30T14:23:41Z`."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
