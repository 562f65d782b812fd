"""A spot machine tells its cluster in time that it will be taken away."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.wire.every import Every

if TYPE_CHECKING:
    from actors.machine.spot_notices import SpotNotices

logger = logging.getLogger(__name__)

LOOK_S = 2.0


class SpotWatch:
    """Asks the cloud again and again, and announces the machine's end once it is known: `announce` gets the time."""

    def __init__(self, notices: "SpotNotices", announce: Callable[[int], None], look_s: float = LOOK_S) -> None:
        self._notices = notices
        self._announce = announce
        self._announced_ms: int | None = None
        self._looking = Every(look_s, self.look, "looking for a spot notice")

    def start(self) -> None:
        self._looking.start()

    def stop(self) -> None:
        self._looking.stop()

    async def look(self) -> None:
        """Ask once. What could not be announced is announced the next time."""
        leaves_at_ms = await self._notices.leaves_at_ms()
        if leaves_at_ms is not None and leaves_at_ms != self._announced_ms:
            logger.warning("this machine will be taken away")
            self._announce(leaves_at_ms)
            self._announced_ms = leaves_at_ms
