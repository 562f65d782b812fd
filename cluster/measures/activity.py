"""What the Scheduler saw of each of the last minutes. It is lost with its process."""

from collections import deque

from msgspec import Struct

MINUTE_MS = 60_000
_KEPT = 24 * 60


class ActiveMinute(Struct, frozen=True):
    """The most jobs that waited and that ran at once in a minute.

    In `seconds` of it engines told of so many `tokens`. `minute` counts those since the Unix epoch.
    """

    minute: int
    queued: int
    running: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.seconds else None


class Activity:
    """The last day, by minutes. One in which nobody looked is missing."""

    def __init__(self) -> None:
        self._minutes: deque[ActiveMinute] = deque(maxlen=_KEPT)
        self._seen: tuple[int, int] | None = None

    def note(self, now_ms: int, queued: int, running: int, generated: int) -> None:
        """So many jobs wait and run now; `generated` is how many tokens engines have told of in all."""
        seen_ms, before = self._seen or (now_ms, generated)
        self._seen = now_ms, generated
        minute = now_ms // MINUTE_MS
        last = self._minutes[-1] if self._minutes else None
        if last is None or minute > last.minute:
            last = ActiveMinute(minute, 0, 0, 0, 0.0)
            self._minutes.append(last)
        self._minutes[-1] = ActiveMinute(
            last.minute,
            max(last.queued, queued),
            max(last.running, running),
            last.tokens + max(0, generated - before),
            last.seconds + max(0, now_ms - seen_ms) / 1000,
        )

    def since(self, minute: int) -> list[ActiveMinute]:
        """Those from this one on, the oldest first."""
        return [each for each in self._minutes if each.minute >= minute]
