"""When a delivery is tried again, and when it is given up: https://www.standardwebhooks.com, "Retry schedule"."""

from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS

PAUSES_MS: Final = (
    5_000,
    MINUTE_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    18 * HOUR_MS,
    22 * HOUR_MS,
)
"""After the first attempt, after the second, and so on; after those, the last one again."""

GIVE_UP_MS: Final = 72 * HOUR_MS
"""So long after it began a delivery is tried for the last time."""

DISABLE_AFTER_MS: Final = 5 * 24 * HOUR_MS
"""An endpoint of which every attempt has failed for so long is disabled."""

UNTRIED_MS: Final = 48 * HOUR_MS
"""Where the last attempt is so long ago when the system starts, it did not run: pauses between attempts are shorter."""

_SPREAD: Final = 0.1
"""A pause is up to so much longer, lest all that failed at once is tried again at once."""


def next_ms(attempt: int, begun_ms: int, now_ms: int, retry_after_ms: int = 0, chance: float = 0.0) -> int | None:
    """When to try again after attempt number `attempt`, counted from 1, has failed now. None: not any more.

    Not before `retry_after_ms` have passed, which the endpoint asked for, unless that is after its last time. `chance`
    is drawn from 0 to 1. There is always a last attempt when the time is over, however many there were before.
    """
    last_ms = begun_ms + GIVE_UP_MS
    if now_ms >= last_ms:
        return None
    pause_ms = PAUSES_MS[min(attempt, len(PAUSES_MS)) - 1]
    return min(now_ms + max(pause_ms + int(pause_ms * _SPREAD * chance), retry_after_ms), last_ms)
