"""How often somebody may try to sign in."""

from collections import OrderedDict, deque

from cluster.clock import Clock

MOST_FAILURES = 10
WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000


class Attempts:
    """Failed attempts of the last minute, by address, of few addresses at once.

    An attempt counts as failed from its beginning on, so that many at once are not more than as many one by one.
    """

    def __init__(self, clock: Clock) -> None:
        self._now_s = clock.monotonic_s
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, address: str) -> float:
        """How long it is until this address may try again; 0 when it may now, and has."""
        now_s = self._now_s()
        failures = self._failures.setdefault(address, deque())
        self._failures.move_to_end(address)
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)
        while failures and failures[0] <= now_s - WINDOW_S:
            failures.popleft()
        if len(failures) >= MOST_FAILURES:
            return failures[0] + WINDOW_S - now_s
        failures.append(now_s)
        return 0.0

    def take_back(self, address: str) -> None:
        """The attempt that this address has just begun did not fail."""
        if failures := self._failures.get(address):
            failures.pop()
