"""What a process counts, handed in to the Ledger now and then."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from actors.wire.calls import AWAY
from actors.wire.every import Every
from cluster.measures.tallies import Tallies
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.ledger import Ledger

_SHEETS = 2
"""One that was under way already, or whose answer was lost, and one with what was counted since it was made."""

logger = logging.getLogger(__name__)


def _none() -> Mapping[str, float]:
    return {}


class HandingIn:
    """Hands in what `tallies` have, each once, and what `gauges` tell of now. What cannot be now is the next time."""

    def __init__(
        self,
        tallies: Tallies,
        ledger: "Ledger",
        timing: Timing,
        gauges: Callable[[], Mapping[str, float]] = _none,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """`before` is called first, each time."""
        self._tallies = tallies
        self._ledger = ledger
        self._last_s = timing.ask_s
        self._gauges = gauges
        self._before = before
        self.loop = Every(timing.hand_in_s, self.hand_in, "handing in what was counted")

    def start(self) -> None:
        self.loop.start()

    async def stop(self) -> None:
        """Hand in what is left, if that can be done soon."""
        self.loop.stop()
        try:
            async with asyncio.timeout(self._last_s):
                await self.hand_in()
        except (*AWAY, TimeoutError) as error:
            logger.warning("what was counted last was not handed in: %s: %s", type(error).__name__, error)

    async def hand_in(self) -> None:
        """Returns when all that was counted until now is handed in. Raises what says that the Ledger is away."""
        self._before()
        for _ in range(_SHEETS):
            sheet, gauges = self._tallies.sheet(), self._gauges()
            if sheet is None and not gauges:
                return
            await self._ledger.tally(self._tallies.source, sheet, gauges)
            if sheet is None:
                return
            self._tallies.taken(sheet)
