"""Time that passes when a test says so."""


class TestClock:
    """Both clocks stand still until they are advanced, together."""

    __test__ = False

    def __init__(self, monotonic_s: float = 1000.0, wall_ms: int = 1_700_000_000_000) -> None:
        self._monotonic_s = monotonic_s
        self._wall_ms = wall_ms

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def wall_ms(self) -> int:
        return self._wall_ms

    def advance(self, seconds: float) -> None:
        self._monotonic_s += seconds
        self._wall_ms += round(seconds * 1000)

    def advance_wall(self, seconds: float) -> None:
        """The wall clock alone: deadlines come, and nobody has been silent."""
        self._wall_ms += round(seconds * 1000)
