"""Usage as routes ask for it: what has been used, and what went on in the last minutes."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cluster.clock import Clock
from cluster.measures.history import History, history
from cluster.messages.money import UsageQuery, UsageSum

if TYPE_CHECKING:
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler

_PART = 10_000
"""So many sums are asked for at once."""


class Usage:
    """Sums of jobs, as the Ledger has added them up."""

    def __init__(self, ledger: "Ledger", scheduler: "Scheduler", clock: Clock) -> None:
        self._ledger = ledger
        self._scheduler = scheduler
        self._clock = clock

    async def sums(self, query: UsageQuery) -> list[UsageSum]:
        """Usage added up, in the order of the groups' names."""
        return await self._ledger.usage(query)

    async def parts(self, query: UsageQuery) -> AsyncGenerator[list[UsageSum], None]:
        """The same, however many groups there are, some at a time. What ends meanwhile is in none of them."""
        if query.until_ms is None:
            query = replace(query, until_ms=self._clock.wall_ms())
        query = replace(query, limit=_PART)
        while True:
            part = await self.sums(query)
            yield part
            if len(part) < _PART or not query.group_by:
                return
            query = replace(query, after=part[-1].groups)

    async def history(self, minutes: int) -> History:
        """The last so many minutes, the current one among them, of the whole system."""
        ended, active = await asyncio.gather(self._ledger.ended_minutes(minutes), self._scheduler.activity(minutes))
        return history(self._clock.wall_ms(), minutes, ended, active)
