"""What an ingress replica counts of its requests and streams. None of it names a key, an account or a job."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from cluster.ids import new_holder_id
from cluster.limits.windows import Bucket
from cluster.measures.tallies import DECISIONS, REQUESTS, STREAMS, Tallies

STREAMS_OPEN: Final = "streams_open"

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class DoorCounts:
    """Sole owner of one replica's counts, until they are handed in."""

    def __init__(self) -> None:
        self.tallies = Tallies(new_holder_id())
        self._streams_open = 0

    def answered(self, route: str, method: str, status: int) -> None:
        """A request was answered. `route` is its path as the application has it; nothing for one that it has not."""
        self.tallies.count(REQUESTS, route, method if method in _METHODS else "other", str(status))

    def decided(self, bucket: Bucket, allowed: bool) -> None:
        """A limit was asked."""
        self.tallies.count(DECISIONS, bucket, "allowed" if allowed else "refused")

    @contextmanager
    def stream(self, resumes: bool) -> Iterator[None]:
        """While a client reads a stream. It `resumes` one that it had read a part of."""
        self.tallies.count(STREAMS, "resumed" if resumes else "new")
        self._streams_open += 1
        try:
            yield
        finally:
            self._streams_open -= 1

    def gauges(self) -> Mapping[str, float]:
        """What is so now."""
        return {STREAMS_OPEN: self._streams_open}
