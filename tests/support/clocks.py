"""Clocks that a test moves: one that stands still until then, and one that goes on."""

from cluster.clock import SystemClock


class StillClock:
    """Both of `cluster.clock.Clock`'s clocks; `advance` moves them together."""

    def __init__(self, ms: int = 1_000_000) -> None:
        self.ms = ms
        self.s = 1000.0

    def wall_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)
        self.s += seconds

    def advance_wall(self, seconds: float) -> None:
        """The wall clock alone: deadlines come, and nobody has been silent."""
        self.ms += round(seconds * 1000)


class MovedClock(SystemClock):
    """The machine's clocks, and as many milliseconds more on the wall as a test says: days pass at once."""

    ahead_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms
