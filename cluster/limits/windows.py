"""How much a key may ask for: fixed windows on the clock, so that a restart does not move them."""

import math
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from cluster.errors import RateLimited
from cluster.ids import KeyId
from cluster.messages.people import KeyLimits, WindowMark

MINUTE_S = 60
HOUR_S = 3600

MOST_SPARE = 64
SPARE_SHARE = 1000
"""Of what a window has left, an ingress replica is given a thousandth ahead of its use, so that its next requests need
not ask. A key that has less than a thousand left is asked about each time, to the last one."""

Bucket = Literal["submissions", "reads", "tokens"]


class Take(Struct, frozen=True):
    """What wants to pass: whose it is, what it is charged to, what its key may do, and how much it is.

    `ahead` asks for the right to let some more through, each of an amount of 1.
    """

    key_id: KeyId
    bucket: Bucket
    limits: KeyLimits
    amount: int = 1
    ahead: bool = False


class Decision(Struct, frozen=True):
    """Whether a take passes, and the window with the least left, as the answer's headers report it.

    `reset_s` is in Unix seconds. When refused, `remaining` is 0, and `retry_after_s` at least 1, else 0. With it, so
    many `spare` takes have been charged, to be let through within `spare_ms`; `remaining` still counts them.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int
    spare: int = 0
    spare_ms: int = 0


class Window(Struct, frozen=True):
    """What was let through in the window [number * length_s, (number + 1) * length_s) of the clock."""

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

    def with_used(self, used: int) -> "Window":
        return Window(self.length_s, self.number, used)


Windows = tuple[Window, ...]

_UNUSED: dict[Bucket, Windows] = {
    "submissions": (Window(MINUTE_S), Window(HOUR_S)),
    "reads": (Window(MINUTE_S),),
    "tokens": (Window(MINUTE_S),),
}


def unused(bucket: Bucket) -> Windows:
    """The windows of a key that has asked for nothing yet."""
    return _UNUSED[bucket]


def begun_at(windows: Windows, mark: WindowMark) -> Windows:
    """These windows, with as much of one used up as the mark says."""
    at_mark = Window(mark.length_s, mark.number, mark.used)
    return tuple(at_mark if window.length_s == mark.length_s else window for window in windows)


def ceilings(bucket: Bucket, limits: KeyLimits) -> tuple[int, ...]:
    """How much each of the bucket's windows lets through. Tokens may only be asked for where they are limited."""
    match bucket:
        case "submissions":
            return (limits.submissions_per_minute, limits.submissions_per_hour)
        case "reads":
            return (limits.reads_per_minute,)
        case "tokens":
            assert limits.tokens_per_minute is not None
            return (limits.tokens_per_minute,)


def take(windows: Windows, ceilings: tuple[int, ...], amount: int, now_ms: int) -> tuple[Decision, Windows]:
    """Decide on one take, and say what has been used afterwards.

    It passes when every window has room for all of it; refused, it uses none of them up.
    """
    windows = tuple(window.at(now_ms) for window in windows)
    full = [pair for pair in zip(windows, ceilings, strict=True) if _left(*pair) < amount]
    if full:
        return _refused(*max(full, key=_reset_s), now_ms), windows
    windows = _charged(windows, amount)
    # Of two windows with as little left, the one that keeps the client waiting longer is the truth.
    least = min(zip(windows, ceilings, strict=True), key=lambda pair: (_left(*pair), -_reset_s(pair)))
    return _passed(*least), windows


def take_ahead(
    decision: Decision, windows: Windows, ceilings: tuple[int, ...], now_ms: int
) -> tuple[Decision, Windows]:
    """Add spare takes to a decision that lets pass, unless a ceiling is near, and say what has been used afterwards."""
    spare = min(MOST_SPARE, min(map(_left, windows, ceilings)) // SPARE_SHARE)
    if spare == 0:
        return decision, windows
    ends_ms = min(window.reset_s for window in windows) * 1000
    return replace(decision, spare=spare, spare_ms=max(0, ends_ms - now_ms)), _charged(windows, spare)


def over(windows: Windows, now_ms: int) -> bool:
    """Whether all of these windows lie in the past, so that forgetting them changes nothing."""
    return all(window.reset_s * 1000 <= now_ms for window in windows)


def refusal(decision: Decision, what: str) -> RateLimited:
    """The error that says so. `what` is what the window counts, in the plural."""
    message = f"Rate limit of {decision.limit} {what} exceeded; retry in {decision.retry_after_s} s"
    return RateLimited(message, decision.retry_after_s, decision.limit, decision.reset_s)


def _passed(window: Window, ceiling: int) -> Decision:
    return Decision(True, ceiling, _left(window, ceiling), window.reset_s, 0)


def _refused(window: Window, ceiling: int, now_ms: int) -> Decision:
    return Decision(False, ceiling, 0, window.reset_s, math.ceil(window.reset_s - now_ms / 1000))


def _charged(windows: Windows, amount: int) -> Windows:
    return tuple(window.with_used(window.used + amount) for window in windows)


def _left(window: Window, ceiling: int) -> int:
    return max(0, ceiling - window.used)


def _reset_s(pair: tuple[Window, int]) -> int:
    return pair[0].reset_s
