"""What a backend is doing while it loads, and how long each part took."""

import logging
from itertools import pairwise

from cluster.clock import SYSTEM_CLOCK, Clock

logger = logging.getLogger(__name__)


class Phases:
    """The phases of one start, one after the other. May be told and asked from different threads."""

    def __init__(self, model: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._model = model
        self._clock = clock
        self._began: list[tuple[str, float]] = []
        self.now = ""

    def begin(self, phase: str) -> None:
        """From now on it is doing this."""
        self._began.append((phase, self._clock.monotonic_s()))
        self.now = phase

    def end(self) -> None:
        """It has loaded: the log tells how long each phase took."""
        times_s = [began_s for _, began_s in self._began] + [self._clock.monotonic_s()]
        times = zip(self._began, pairwise(times_s), strict=True)
        parts = [f"{phase} {end_s - began_s:.1f} s" for (phase, _), (began_s, end_s) in times]
        logger.info("%s is ready after %.1f s: %s", self._model, times_s[-1] - times_s[0], ", ".join(parts))
        self.now = ""
