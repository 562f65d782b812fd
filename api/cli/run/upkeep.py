"""What a cluster's head machine is to start again, and when. Pure."""

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

_GCS_PAUSE_S = 2.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# A run that lasted so long has worked: what ended it is a new trouble.
_LASTED_S = 60.0


class Seen(Struct, frozen=True):
    """What runs on the machine: Ray's two processes, and the network's. `ended` is the exit code of the latter."""

    raylet: bool
    gcs: bool
    ended: int | None


class Step(Enum):
    """What is to be done."""

    START_GCS = "start gcs_server again"
    START_SYSTEM = "start the network again"
    LEAVE = "leave: the machine is no head any more, or the network was asked to stop"


class Upkeep:
    """Decides what is to be started again. `durable`: whether a gcs_server finds again what the one before it knew.

    Where it does not, the machines of the cluster would not know a new one, and end as they do without one.
    """

    def __init__(self, durable: bool, now_s: float) -> None:
        self._durable = durable
        self._gcs_from_s = now_s
        self._began_s = now_s
        self._pause_s = _FIRST_PAUSE_S
        self._begin_again_s: float | None = None

    def look(self, seen: Seen, now_s: float) -> Iterator[Step]:
        """What is to be done now, in this order."""
        if not seen.raylet or seen.ended == 0:
            yield Step.LEAVE
            return
        if not seen.gcs and self._durable and now_s >= self._gcs_from_s:
            # One that ends at once is not started without end at once.
            self._gcs_from_s = now_s + _GCS_PAUSE_S
            yield Step.START_GCS
        if seen.ended is not None and self._is_due(now_s):
            self._began_s, self._begin_again_s = now_s, None
            yield Step.START_SYSTEM

    def _is_due(self, now_s: float) -> bool:
        if self._begin_again_s is None:
            if now_s - self._began_s >= _LASTED_S:
                self._pause_s = _FIRST_PAUSE_S
            self._begin_again_s = now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return now_s >= self._begin_again_s
