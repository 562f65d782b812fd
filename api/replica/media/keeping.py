"""How the media of a submission are kept, before there is a job."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from api.replica.media.fetching import Fetcher, FetchRefused
from api.replica.media.pictures import NoPicture, check
from api.replica.room import Room
from cluster.errors import BadRequest
from cluster.ids import AccountId
from cluster.messages.media import Given, Medium, MediumHash, medium
from cluster.settings.sections.media import Media

if TYPE_CHECKING:
    from actors.ledger import Ledger


class MediaKeeping:
    """Fetches, judges and keeps. What is there already is not sent to the Ledger again."""

    def __init__(self, settings: Media, ledger: "Ledger", fetcher: Fetcher, room: Room) -> None:
        self._settings = settings
        self._ledger = ledger
        self._fetcher = fetcher
        self._room = room

    async def keep(self, account: AccountId, given: list[Given]) -> tuple[MediumHash, ...]:
        """The hashes of these, in their order, once they can be had by them. Clears the list: it may be large.

        Raises BadRequest, naming the part, for what cannot be fetched, or is not what it is said to be, and NoCapacity
        when there is no room for what is fetched.
        """
        if not given:
            return ()
        if len(given) > self._settings.max_parts:
            raise BadRequest(f"messages: have more than {self._settings.max_parts} pictures and sounds")
        if not any(each.url for each in given):
            return await self._keep(given)
        held = await self._room.take(account, self._settings.max_body_bytes)
        try:
            return await self._keep(given)
        finally:
            held.give_back()

    async def _keep(self, given: list[Given]) -> tuple[MediumHash, ...]:
        media = await self._had(given)
        given.clear()
        wanted = set(await self._ledger.wanted_media([each.hash for each in media]))
        if wanted:
            await self._ledger.keep_media([each for each in media if each.hash in wanted])
        return tuple(each.hash for each in media)

    async def _had(self, given: Sequence[Given]) -> list[Medium]:
        """One after the other: together they have no more bytes than a body may have."""
        media, left = list[Medium](), self._settings.max_body_bytes
        for each in given:
            content = each.content or await self._fetch(each)
            left -= len(content)
            if len(content) > self._settings.max_bytes:
                raise BadRequest(f"{each.place}: is larger than {self._settings.max_bytes} bytes")
            if left < 0:
                raise BadRequest(f"{each.place}: all of them have more than {self._settings.max_body_bytes} bytes")
            media.append(await asyncio.to_thread(self._judged, each, content))
        return media

    async def _fetch(self, given: Given) -> bytes:
        try:
            return await self._fetcher.fetch(given.url)
        except FetchRefused as refusal:
            raise BadRequest(f"{given.place}: {refusal}") from None

    def _judged(self, given: Given, content: bytes) -> Medium:
        if given.kind == "image":
            try:
                check(content, self._settings.max_pixels)
            except NoPicture as refusal:
                raise BadRequest(f"{given.place}: {refusal}") from None
        return medium(content)
