"""Clocks for tests."""


class StandingClock:
    """Stands still until it is moved."""

    def __init__(self, now_ms: int = 0, now_s: float = 0.0) -> None:
        self.now_ms = now_ms
        self.now_s = now_s

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_s(self) -> float:
        return self.now_s
