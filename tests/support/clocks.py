"""A clock that stands still until a test moves it."""


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
