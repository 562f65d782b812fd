"""What adds up: usage, and what is counted and measured."""

import logging
from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection

from actors.bookkeeping.book import Book
from actors.bookkeeping.desk import Desk
from actors.database.gauges import Gauges
from actors.wire.every import Every
from cluster.errors import DatabaseFailed
from cluster.measures.activity import MINUTE_MS
from cluster.measures.history import EndedMinutes
from cluster.measures.measures import Totals
from cluster.measures.tallies import Sheet
from cluster.messages.money import UsageQuery, UsageSum
from cluster.store import budgets, deliveries, endpoint_health, measures, tallies, usage

logger = logging.getLogger(__name__)


class FigureBook(Book):
    """Sums: of what jobs used, of what they told when they ended, and of what processes count."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._gauges = Gauges(desk.clock, desk.timing.gauges_s)
        desk.database.repeat(Every(desk.timing.prune_minutes_s, self.prune_minutes, "removing minutes that are over"))

    async def usage(self, query: UsageQuery) -> list[UsageSum]:
        """Usage added up, in the order of the groups; without a grouping one sum, even of nothing."""
        return await self._read(partial(usage.sums, query=query))

    async def totals(self) -> Totals:
        """All that is counted, of jobs and by processes."""
        return await self._read(_totals)

    async def tally(self, source: str, sheet: Sheet | None, gauges: Mapping[str, float]) -> None:
        """Adds up what this process has counted, each sheet once, and takes what it tells of now for its present."""
        self._gauges.tell(source, gauges)
        if sheet is not None:
            await self._write(partial(tallies.take, sheet=sheet, now_ms=self._now_ms()))

    async def gauges(self) -> dict[str, float]:
        """What the processes that are heard tell of now, added up. Asked of no database."""
        return self._gauges.sums()

    async def ended_minutes(self, minutes: int) -> EndedMinutes:
        """What has ended in each of the last so many minutes, the current one among them, and the cost of today."""
        now_ms = self._now_ms()
        since_ms = now_ms - (minutes - 1) * MINUTE_MS
        return await self._read(partial(measures.ended_minutes, since_ms=since_ms, now_ms=now_ms))

    async def prune_minutes(self) -> None:
        """Removes what was measured of minutes that nobody asks for any more. What cannot be now is the next time."""
        try:
            await self._write(partial(measures.prune, now_ms=self._now_ms()))
            await self._write(partial(tallies.prune, now_ms=self._now_ms()))
        except DatabaseFailed as error:
            logger.warning("minutes that are over were not removed, and will be later: %s", error)


def _totals(connection: Connection) -> Totals:
    return Totals(
        measures.totals(connection),
        tallies.sums(connection),
        budgets.reserved(connection),
        deliveries.untold(connection),
        endpoint_health.states(connection),
    )
