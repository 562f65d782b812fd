"""When a model whose engines do not come up is tried again."""

FIRST_BACKOFF_S = 5.0
LONGEST_BACKOFF_S = 300.0
HOPELESS_AFTER = 2
"""One failure may pass: what was left of the engine before it had not been freed yet."""


class StartBackoff:
    """Why a model does not come up, and when it is tried again. One that `has_served` is known to load here."""

    def __init__(self, has_served: bool = False) -> None:
        self.has_served = has_served
        self.failures = 0
        self.message = ""
        self.retry_at_s = 0.0
        self.no_room_since_s: float | None = None

    @property
    def is_hopeful(self) -> bool:
        """Whether the next engine is expected to come up."""
        return self.failures < HOPELESS_AFTER

    @property
    def is_pausing(self) -> bool:
        """Whether a model that has served is about to be tried again."""
        return self.has_served and self.failures > 0 and self.no_room_since_s is None

    def failed(self, message: str, now_s: float) -> None:
        self.message = message
        self.retry_at_s = now_s + min(FIRST_BACKOFF_S * 2**self.failures, LONGEST_BACKOFF_S)
        self.failures += 1

    def try_anew(self) -> None:
        """Somebody has seen to what kept it from coming up, or may have: no failure counts any more."""
        if self.failures:
            self.failures, self.message, self.retry_at_s = 0, "", 0.0

    def found_room(self) -> None:
        if self.no_room_since_s is not None:
            self.no_room_since_s, self.message = None, ""

    def no_room(self, message: str, now_s: float) -> None:
        self.message = message
        if self.no_room_since_s is None:
            self.no_room_since_s = now_s
