"""Pictures and sounds."""

import logging
from collections.abc import Sequence
from functools import partial

from actors.bookkeeping.book import Book
from actors.bookkeeping.desk import Desk
from actors.wire.every import Every
from cluster.errors import DatabaseFailed
from cluster.messages.media import Medium, MediumHash
from cluster.store import media

logger = logging.getLogger(__name__)


class MediaBook(Book):
    """Pictures and sounds under their hashes, for as long as a job needs them."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        desk.database.repeat(Every(desk.timing.prune_media_s, self.prune_media, "removing media that no job needs"))

    async def wanted_media(self, hashes: Sequence[MediumHash]) -> list[MediumHash]:
        """Those of these that are to be brought. The others are there, and stay long enough for a job to be made."""
        return await self._write(partial(media.want, hashes=hashes, now_ms=self._now_ms()))

    async def keep_media(self, brought: Sequence[Medium]) -> None:
        """Keeps these until no open job needs them. May be repeated."""
        await self._write(partial(media.keep, media=brought, now_ms=self._now_ms()))

    async def media(self, hashes: Sequence[MediumHash]) -> list[bytes | None]:
        """What is kept under each of these hashes, None where nothing is."""
        return await self._read(partial(media.contents, hashes=hashes))

    async def prune_media(self) -> None:
        """Removes what no open job needs and nobody has brought for a while. What cannot be now is the next time."""
        try:
            await self._write(partial(media.prune, now_ms=self._now_ms()))
        except DatabaseFailed as error:
            logger.warning("media that no job needs were not removed, and will be later: %s", error)
