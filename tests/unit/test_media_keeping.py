"""How the media of a submission are kept: what is sent to the Ledger, and what one client may have fetched at once."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from api.replica.media.fetching import Fetcher
from api.replica.media.keeping import MediaKeeping
from api.replica.room import Room
from cluster.errors import BadRequest, NoCapacity
from cluster.ids import AccountId
from cluster.messages.media import Given, Medium, MediumHash, medium
from cluster.settings.sections.media import Media
from tests.support.pictures import picture
from tests.support.plain_system import run

ACCOUNT = AccountId("acct")
LARGEST = 1000
SETTINGS = Media(max_body_bytes=LARGEST, max_bytes=LARGEST)
RED, BLUE = picture("red"), picture("blue")


class Ledger:
    """Has what it was brought, and notes that."""

    def __init__(self) -> None:
        self.brought: list[Medium] = []

    async def wanted_media(self, hashes: Sequence[MediumHash]) -> list[MediumHash]:
        return [each for each in hashes if each not in {medium.hash for medium in self.brought}]

    async def keep_media(self, brought: Sequence[Medium]) -> None:
        self.brought += brought


class Hosts:
    """Fetches what it has, and notes what it was asked."""

    def __init__(self, **has: bytes) -> None:
        self.has = has
        self.asked: list[str] = []

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        return self.has[url]


def keeping(ledger: Ledger, hosts: Any = None, room: Room | None = None) -> MediaKeeping:
    return MediaKeeping(SETTINGS, cast(Any, ledger), cast(Fetcher, hosts or Hosts()), room or Room(LARGEST))


def brought(content: bytes) -> Given:
    return Given("place", "image", content)


def pointed_to(url: str) -> Given:
    return Given("place", "image", url=url)


def test_what_is_there_is_not_sent_again_and_the_list_is_cleared() -> None:
    async def scenario() -> None:
        ledger, hosts = Ledger(), Hosts(blue=BLUE)
        given = [brought(RED), pointed_to("blue"), brought(RED)]
        assert await keeping(ledger, hosts).keep(ACCOUNT, given) == tuple(
            medium(each).hash for each in (RED, BLUE, RED)
        )
        assert given == []
        await keeping(ledger).keep(ACCOUNT, [brought(RED)])
        assert {each.content for each in ledger.brought} == {RED, BLUE}

    run(scenario())


def test_together_they_are_no_larger_than_a_body_may_be() -> None:
    async def scenario() -> None:
        hosts = Hosts(red=RED)
        many = LARGEST // len(RED) + 1
        with pytest.raises(BadRequest, match=f"place: all of them have more than {LARGEST} bytes"):
            await keeping(Ledger(), hosts).keep(ACCOUNT, [pointed_to("red")] * many)
        assert len(hosts.asked) == many

    run(scenario())


def test_what_is_fetched_has_room_and_is_not_fetched_without() -> None:
    async def scenario() -> None:
        room, hosts = Room(LARGEST, patience_s=0.0), Hosts(red=RED)
        held = [await room.take(ACCOUNT, LARGEST) for _ in range(4)]
        kept = keeping(Ledger(), hosts, room)
        with pytest.raises(NoCapacity):
            await kept.keep(ACCOUNT, [pointed_to("red")])
        assert hosts.asked == []
        assert len(await kept.keep(ACCOUNT, [brought(RED)])) == 1
        held[0].give_back()
        for _ in range(2):
            await kept.keep(ACCOUNT, [pointed_to("red")])

    run(scenario())


def test_a_sound_is_not_looked_at_as_a_picture() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        await keeping(ledger).keep(ACCOUNT, [Given("place", "audio", b"RIFF")])
        assert [each.content for each in ledger.brought] == [b"RIFF"]

    run(scenario())
