"""Something that fails again and again, told so that an operator reads it: at once, then now and then, then its end."""

import logging

from cluster.clock import SYSTEM_CLOCK, Clock

logger = logging.getLogger(__name__)

_TELL_AGAIN_S = 30.0


class Outage:
    """Calls of one kind, `what`. However many fail, there is a line for each kind of error and 30 s."""

    def __init__(self, what: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._what = what
        self._now_s = clock.monotonic_s
        self._told_s: dict[str, float] = {}
        self._untold = 0
        self.failed_s: float | None = None
        self.succeeded_s: float | None = None
        self.error: Exception | None = None

    def failed(self, error: Exception) -> None:
        """One of them has failed with this."""
        self.error = error
        self.failed_s = now_s = self._now_s()
        kind = f"{type(error).__name__}: {error}"
        told_s = self._told_s.get(kind)
        if told_s is not None and now_s - told_s < _TELL_AGAIN_S:
            self._untold += 1
            return
        self._told_s = {known: at_s for known, at_s in self._told_s.items() if now_s - at_s < _TELL_AGAIN_S}
        self._told_s[kind] = now_s
        logger.error("%s: %s%s", self._what, kind, f" ({self._untold} more like it)" if self._untold else "")
        self._untold = 0

    def succeeded(self) -> None:
        """One of them has succeeded."""
        self.succeeded_s = self._now_s()
        if self.error is not None:
            logger.warning("%s: works again", self._what)
            self.error = None
            self._told_s.clear()
            self._untold = 0
