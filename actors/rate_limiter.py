"""The one place where requests are counted, so that the limits hold whichever replica is asked."""

from collections.abc import Callable, Mapping, Sequence

from cluster import limits
from cluster.clock import wall_ms
from cluster.ids import KeyId
from cluster.limits import MINUTE_S, Bucket, Decision, Take, Windows


class RateLimiter:
    """The request windows of every key that has asked lately.

    `counts` are each key's submissions in the current minute and in the current hour: what is known after
    a restart. Reads are not recorded anywhere and begin again at none.
    """

    def __init__(self, counts: Mapping[KeyId, tuple[int, int]], clock: Callable[[], int] = wall_ms) -> None:
        self._clock = clock
        now_ms = clock()
        self._windows: dict[tuple[KeyId, Bucket], Windows] = {
            (key_id, "submissions"): limits.used("submissions", count, now_ms) for key_id, count in counts.items()
        }
        self._minute = _minute(now_ms)

    async def take(self, requests: Sequence[Take]) -> list[Decision]:
        """Decide on each request, in their order. Exact: nothing comes between the requests of a batch."""
        now_ms = self._clock()
        self._forget_what_is_over(now_ms)
        return [self._take(request, now_ms) for request in requests]

    def _take(self, request: Take, now_ms: int) -> Decision:
        slot = (request.key_id, request.bucket)
        windows = self._windows.get(slot) or limits.unused(request.bucket)
        ceilings = limits.ceilings(request.bucket, request.limits)
        decision, self._windows[slot] = limits.take(windows, ceilings, now_ms)
        return decision

    def _forget_what_is_over(self, now_ms: int) -> None:
        """Windows end on the minute, so that one look a minute finds all that are over."""
        if _minute(now_ms) == self._minute:
            return
        self._minute = _minute(now_ms)
        self._windows = {slot: windows for slot, windows in self._windows.items() if not limits.over(windows, now_ms)}


def _minute(now_ms: int) -> int:
    return now_ms // (MINUTE_S * 1000)
