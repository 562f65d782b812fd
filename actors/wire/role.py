"""That an actor is still the one of its name: another may have begun in its place while it stood still."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.wire.every import Every
from cluster.ids import new_holder_id
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.ledger import Ledger

logger = logging.getLogger(__name__)


class Role:
    """Asks the Ledger, again and again, who holds the role, and calls `lost` when it is another one.

    While the Ledger cannot be asked, it goes on.
    """

    def __init__(self, name: str, ledger: "Ledger", lost: Callable[[], None], timing: Timing) -> None:
        self._name = name
        self._ledger = ledger
        self._lost = lost
        self.holder = new_holder_id()
        self._begins = True
        self.holding = Every(timing.hold_s, self._hold, f"holding the role of the {name}")

    def start(self) -> None:
        self.holding.start()

    def stop(self) -> None:
        self.holding.stop()

    async def _hold(self) -> None:
        if await self._ledger.hold(self._name, self.holder, self._begins):
            self._begins = False
            return
        logger.error("another %s has begun: this one does nothing more", self._name)
        self._lost()
        self.stop()
