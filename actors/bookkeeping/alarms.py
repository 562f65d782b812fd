"""What happens to nodes and models, and what is known of them then."""

from collections.abc import Sequence
from functools import partial

from actors.bookkeeping.book import Book
from cluster.errors import Superseded
from cluster.liveness.roles import SCHEDULER_ROLE
from cluster.messages.alarms import Known
from cluster.messages.webhooks import Event
from cluster.store import alarms


class AlarmBook(Book):
    """What the Scheduler tells of nodes and models, so that the next one knows what it would miss."""

    async def known(self) -> Known:
        """What the Scheduler knew of nodes and models when it told of them last."""
        # A read would not see what waits to be committed.
        return await self._write(alarms.known_before)

    async def happened(self, events: Sequence[Event], known: Known, scheduler: str) -> None:
        """Writes down whom these are to be told, and with that what is known then. May be repeated: each is told once.

        Raises Superseded when `scheduler` is not the Scheduler any more.
        """
        if not self._desk.roles.hold(SCHEDULER_ROLE, scheduler, begins=False):
            raise Superseded("another Scheduler has begun")
        # Who listens is known as soon as the database has been opened.
        await self._desk.database.opened()
        told = events if self._desk.listeners.accounts else ()
        await self._write(partial(alarms.happened, events=told, known=known))
        if told:
            self._desk.listeners.notify()
