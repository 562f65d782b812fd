"""How often somebody may try to sign in."""

from collections import OrderedDict, deque

from starlette.requests import Request

from cluster.clock import Clock

MOST_FAILURES = 10
WINDOW_S = 60.0
_MOST_ADDRESSES = 10_000


class Attempts:
    """Failed attempts of the last minute, by address. Each replica keeps its own, of few addresses at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long it is until this address may try again; 0 when it may now."""
        failures = self._failures.get(address, deque())
        now_s = self._clock.monotonic_s()
        while failures and failures[0] <= now_s - WINDOW_S:
            failures.popleft()
        return 0.0 if len(failures) < MOST_FAILURES else failures[0] + WINDOW_S - now_s

    def failed(self, address: str) -> None:
        """An attempt from this address has just failed."""
        self._failures.setdefault(address, deque()).append(self._clock.monotonic_s())
        self._failures.move_to_end(address)
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)


def address_of(request: Request) -> str:
    """Where the request comes from, as the nearest proxy tells it, which is the door itself."""
    told = request.headers.getlist("x-forwarded-for")
    if told:
        return told[-1].rpartition(",")[2].strip()
    return request.client.host if request.client else ""
