"""Media in an engine's process: asked for once, checked, kept while there is room."""

from collections.abc import Sequence

import pytest

from actors.media.shelf import MediaShelf, MediumLost
from cluster.messages.media import MediumHash, medium
from tests.support.plain_system import run

RED, BLUE, GREEN = medium(b"red!"), medium(b"blue"), medium(b"leaf")


class Store:
    """What the Ledger has, and what it was asked for."""

    def __init__(self) -> None:
        self.has: dict[MediumHash, bytes] = {each.hash: each.content for each in (RED, BLUE, GREEN)}
        self.asked: list[Sequence[MediumHash]] = []

    async def media(self, hashes: Sequence[MediumHash]) -> Sequence[bytes | None]:
        self.asked.append(hashes)
        return [self.has.get(each) for each in hashes]


def test_each_is_asked_for_once() -> None:
    async def scenario() -> None:
        store = Store()
        shelf = MediaShelf(store.media)
        assert await shelf.get([]) == {}
        assert await shelf.get([RED.hash, RED.hash]) == {RED.hash: RED.content}
        assert await shelf.get([RED.hash, BLUE.hash]) == {RED.hash: RED.content, BLUE.hash: BLUE.content}
        assert store.asked == [[RED.hash], [BLUE.hash]]

    run(scenario())


def test_what_was_needed_longest_ago_makes_way() -> None:
    async def scenario() -> None:
        store = Store()
        shelf = MediaShelf(store.media, room_bytes=8)
        for each in (RED, BLUE, RED, GREEN, RED, BLUE):
            assert await shelf.get([each.hash]) == {each.hash: each.content}
        assert store.asked == [[RED.hash], [BLUE.hash], [GREEN.hash], [BLUE.hash]]

    run(scenario())


def test_more_than_there_is_room_for_is_had_and_not_kept() -> None:
    async def scenario() -> None:
        store = Store()
        shelf = MediaShelf(store.media, room_bytes=3)
        for _ in range(2):
            assert len(await shelf.get([RED.hash, BLUE.hash])) == 2
        assert len(store.asked) == 2

    run(scenario())


@pytest.mark.parametrize("content", [None, b"another"])
def test_what_is_gone_or_is_something_else_is_lost(content: bytes | None) -> None:
    async def scenario() -> None:
        store = Store()
        store.has = {RED.hash: content} if content else {}
        with pytest.raises(MediumLost):
            await MediaShelf(store.media).get([RED.hash])

    run(scenario())
