"""How an endpoint fares: what is under way to it, and how much more it may be asked."""

import asyncio
import math
from typing import Final

from cluster.ids import DeliveryId
from cluster.messages.webhooks import Attempted

MOST_SENDING: Final = 8
"""So much is sent to one endpoint at once; as much as is sent meanwhile waits behind, lest it waits for the Ledger."""

MOST_UNDER_WAY: Final = 4 * MOST_SENDING
_FEW_UNDER_WAY: Final = 2 * MOST_SENDING


class Endpoint:
    """One that `fails` is sent one at a time: who waits for an answer that does not come has a place others need.

    Times are those of a clock that never steps.
    """

    def __init__(self) -> None:
        self.under_way: set[DeliveryId] = set()
        self.fails = False
        self._sending = 0
        self._places = asyncio.Semaphore(MOST_SENDING)
        self._paused_until_s = -math.inf
        self._was_full = False

    @property
    def is_forgettable(self) -> bool:
        """Nothing of it has to be remembered."""
        return not self.under_way and not self.fails

    def room(self, now_s: float) -> int:
        """How much more may be under way to it."""
        if now_s < self._paused_until_s:
            return 0
        return max(0, (1 if self.fails else MOST_UNDER_WAY) - len(self.under_way))

    def begin(self, delivery: DeliveryId, now_s: float) -> None:
        self.under_way.add(delivery)
        self._was_full = self._was_full or not self.room(now_s)

    def end(self, delivery: DeliveryId) -> bool:
        """Whether there is room again that is worth asking for."""
        self.under_way.discard(delivery)
        has_room_again = self._was_full and len(self.under_way) <= (0 if self.fails else _FEW_UNDER_WAY)
        self._was_full = self._was_full and not has_room_again
        return has_room_again

    async def place(self) -> None:
        """Wait for a place to send from, which is to be left again."""
        await self._places.acquire()
        self._sending += 1

    def leave_place(self) -> None:
        self._sending -= 1
        self._places.release()

    def wants_more(self, now_s: float) -> bool:
        """Whether what has a place is to be sent now: what came back meanwhile may say that it is not."""
        return now_s >= self._paused_until_s and (not self.fails or self._sending == 1)

    def note(self, attempted: Attempted, pause_ms: int, now_s: float) -> None:
        """This is what came back. It asks for a pause of so long, or for none."""
        self.fails = attempted.problem is not None
        if pause_ms:
            self._paused_until_s = now_s + pause_ms / 1000
