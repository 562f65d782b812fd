"""That an actor is still the one of its name: another may have begun in its place while it stood still."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.wire.every import Every
from cluster.clock import Clock
from cluster.ids import new_holder_id
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)


class Role:
    """Takes the role, then asks the Ledger again and again who holds it, and calls `lost` when it is another one.

    While the Ledger cannot be asked, it goes on.
    """

    def __init__(self, name: str, ledger: "Ledger", lost: Callable[[], None], clock: Clock, timing: Timing) -> None:
        self._name = name
        self._ledger = ledger
        self._lost = lost
        self._clock = clock
        self._answer_s = timing.ask_s
        # Who has not asked for so long stood still, and may have been replaced before it took the role.
        self._stood_still_s = timing.hold_s + timing.ask_s + timing.late_s
        self._asked_s = clock.monotonic_s()
        self._begins = True
        self.holder = new_holder_id()
        self.holding = Every(timing.hold_s, self._hold, f"holding the role of the {name}")

    async def take(self) -> bool:
        """Take it from whoever had it, at first; then, whether it is held still. Raises what prevents the answer."""
        holds = await self._ledger.hold(self._name, self.holder, self._begins)
        self._begins = False
        return holds

    def start(self) -> None:
        self.holding.start()

    def stop(self) -> None:
        self.holding.stop()

    async def _hold(self) -> None:
        before_s, self._asked_s = self._asked_s, self._clock.monotonic_s()
        if self._asked_s - before_s > self._stood_still_s:
            self._begins = False
        try:
            async with asyncio.timeout(self._answer_s):
                holds = await self.take()
        except TimeoutError:
            return
        if not holds:
            logger.error("another %s has begun: this one does nothing more", self._name)
            self._lost()
            self.stop()
