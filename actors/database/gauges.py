"""What processes have told of their present, added up while they are heard."""

from collections import Counter
from collections.abc import Mapping

from cluster.clock import Clock


class Gauges:
    """A process that has been silent for `silence_s` counts no longer."""

    def __init__(self, clock: Clock, silence_s: float) -> None:
        self._clock = clock
        self._silence_s = silence_s
        self._told: dict[str, tuple[float, Mapping[str, float]]] = {}

    def tell(self, source: str, gauges: Mapping[str, float]) -> None:
        """This process tells of these now."""
        self._told[source] = self._clock.monotonic_s(), gauges

    def sums(self) -> dict[str, float]:
        """What all tell of together."""
        since_s = self._clock.monotonic_s() - self._silence_s
        self._told = {source: told for source, told in self._told.items() if told[0] >= since_s}
        sums: Counter[str] = Counter()
        for _, gauges in self._told.values():
            sums.update(gauges)
        return dict(sums)
