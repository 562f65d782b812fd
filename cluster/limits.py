"""How often a key may ask: fixed windows on the clock, so that a restart does not move them."""

import math
from typing import Literal

from msgspec import Struct

from cluster.ids import KeyId
from cluster.messages import KeyLimits

MINUTE_S = 60
HOUR_S = 3600

Bucket = Literal["submissions", "reads"]


class Take(Struct, frozen=True):
    """One request that wants to pass: whose it is, what it is charged to, and what its key may do."""

    key_id: KeyId
    bucket: Bucket
    limits: KeyLimits


class Decision(Struct, frozen=True):
    """Whether a request passes, and the window with the least left, as the answer's headers report it.

    `reset_s` is in Unix seconds. `retry_after_s` is at least 1 when refused, else 0.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int


class Window(Struct, frozen=True):
    """Requests let through in the window [number * length_s, (number + 1) * length_s) of the clock."""

    length_s: int
    number: int = 0
    used: int = 0

    @property
    def reset_s(self) -> int:
        return (self.number + 1) * self.length_s

    def at(self, now_ms: int) -> "Window":
        """The window that `now_ms` lies in, with what was used of it."""
        number = now_ms // (self.length_s * 1000)
        # A clock set back across a border must not open the window before it once more.
        if number in (self.number, self.number - 1):
            return self
        return Window(self.length_s, number)

    def with_one_more(self) -> "Window":
        return Window(self.length_s, self.number, self.used + 1)


Windows = tuple[Window, ...]

_UNUSED: dict[Bucket, Windows] = {
    "submissions": (Window(MINUTE_S), Window(HOUR_S)),
    "reads": (Window(MINUTE_S),),
}


def unused(bucket: Bucket) -> Windows:
    """The windows of a key that has asked for nothing yet."""
    return _UNUSED[bucket]


def used(bucket: Bucket, counts: tuple[int, ...], now_ms: int) -> Windows:
    """The windows that `now_ms` lies in, with `counts` requests already let through."""
    windows = (window.at(now_ms) for window in unused(bucket))
    return tuple(Window(window.length_s, window.number, count) for window, count in zip(windows, counts, strict=True))


def ceilings(bucket: Bucket, limits: KeyLimits) -> tuple[int, ...]:
    """How many requests each of the bucket's windows lets through."""
    if bucket == "reads":
        return (limits.reads_per_minute,)
    return (limits.submissions_per_minute, limits.submissions_per_hour)


def take(windows: Windows, ceilings: tuple[int, ...], now_ms: int) -> tuple[Decision, Windows]:
    """Decide on one request, and say what has been used afterwards.

    It passes when every window has room for it; refused, it uses none of them up.
    """
    windows = tuple(window.at(now_ms) for window in windows)
    allowed = all(window.used < ceiling for window, ceiling in zip(windows, ceilings, strict=True))
    if allowed:
        windows = tuple(window.with_one_more() for window in windows)
    return _decision(allowed, windows, ceilings, now_ms), windows


def over(windows: Windows, now_ms: int) -> bool:
    """Whether all of these windows lie in the past, so that forgetting them changes nothing."""
    return all(window.reset_s * 1000 <= now_ms for window in windows)


def _decision(allowed: bool, windows: Windows, ceilings: tuple[int, ...], now_ms: int) -> Decision:
    # Of two windows with as little left, the one that keeps the client waiting longer is the truth.
    window, ceiling = min(zip(windows, ceilings, strict=True), key=lambda pair: (_left(*pair), -pair[0].reset_s))
    retry_after_s = 0 if allowed else math.ceil(window.reset_s - now_ms / 1000)
    return Decision(allowed, ceiling, _left(window, ceiling), window.reset_s, retry_after_s)


def _left(window: Window, ceiling: int) -> int:
    return max(0, ceiling - window.used)
