"""Pictures and sounds in an engine's process: asked of the Ledger when jobs need them, kept while there is room."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from actors.backends.base import Media
from cluster.messages.media import MediumHash, medium

ROOM_BYTES = 64 << 20
"""As much as this is kept of what jobs have needed: most are asked about first, and generated in the same engine."""

AskFor = Callable[[Sequence[MediumHash]], Awaitable[Sequence[bytes | None]]]
"""What the Ledger has under these hashes, None for each that it has not."""


class MediumLost(Exception):
    """Nobody has this medium any more, or what there is of it is something else."""


class MediaShelf:
    """Has what it was asked for last. What it hands out has the hash that it was asked for by."""

    def __init__(self, ask_for: AskFor, room_bytes: int = ROOM_BYTES) -> None:
        self._ask_for = ask_for
        self._room_bytes = room_bytes
        self._kept: OrderedDict[MediumHash, bytes] = OrderedDict()

    async def get(self, hashes: Sequence[MediumHash]) -> Media:
        """All of these. Raises MediumLost, and what the Ledger raises when it is away."""
        found = {each: self._kept[each] for each in hashes if each in self._kept}
        missing = list(dict.fromkeys(each for each in hashes if each not in found))
        if missing:
            told = await self._ask_for(missing)
            found |= {each: _checked(each, content) for each, content in zip(missing, told, strict=True)}
        for each, content in found.items():
            self._keep(each, content)
        return found

    def _keep(self, hash_: MediumHash, content: bytes) -> None:
        self._kept[hash_] = content
        self._kept.move_to_end(hash_)
        while sum(map(len, self._kept.values())) > self._room_bytes:
            self._kept.popitem(last=False)


def _checked(hash_: MediumHash, content: bytes | None) -> bytes:
    if content is None or medium(content).hash != hash_:
        raise MediumLost(f"the medium {hash_} is not there any more")
    return content
