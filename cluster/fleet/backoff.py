"""When a model whose engines do not come up is tried again."""

FIRST_BACKOFF_S = 5.0
LONGEST_BACKOFF_S = 300.0


class StartBackoff:
    """Why a model does not come up, and when it is tried again."""

    def __init__(self) -> None:
        self.failures = 0
        self.message = ""
        self.retry_at_s = 0.0
        self.no_room_since_s: float | None = None

    def failed(self, message: str, now_s: float) -> None:
        self.message = message
        self.retry_at_s = now_s + min(FIRST_BACKOFF_S * 2**self.failures, LONGEST_BACKOFF_S)
        self.failures += 1

    def found_room(self) -> None:
        if self.no_room_since_s is not None:
            self.no_room_since_s, self.message = None, ""

    def no_room(self, message: str, now_s: float) -> None:
        self.message = message
        if self.no_room_since_s is None:
            self.no_room_since_s = now_s
