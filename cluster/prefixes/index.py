"""What the caches of a model's engines are taken to hold. Pure.

An engine that is given a prompt has its beginnings from then on, until others have taken their place: those used least
recently go first, as in the engine's own cache, and of one prompt its end before its beginning. So an engine that has a
hash has all hashes before it in the chain.
"""

from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence, Set
from itertools import count, filterfalse, takewhile
from operator import itemgetter
from typing import NamedTuple

from cluster.ids import EngineId
from cluster.prefixes.chain import CUTS, hashes

MOST_HASHES = 500_000
"""So many are remembered of all engines of a model, at about 230 bytes each."""

CROWD = 4
"""What more engines than this have is no reason to look at any of them."""

_USES_PER_HASH = 4

_NO_HASH = -1

_BLOCKS = (0, *CUTS)
"""How many blocks the first so many hashes of a chain are of."""


class Use(NamedTuple):
    """That an engine was given a prompt: its number, how many blocks it had of it, and of which use those were last."""

    number: int
    blocks: int = 0
    before: int | None = None


class _Cache:
    """What one engine has: when it used each hash last, and its uses, the oldest first."""

    def __init__(self, engine_id: EngineId, blocks: int) -> None:
        self.alone = (engine_id,)
        self.blocks = blocks
        self.held_blocks = 0
        self.used: dict[int, int] = {}
        self.uses: deque[tuple[int, bytes]] = deque()
        self.hashes_of_uses = 0


class PrefixIndex:
    """Which engines of one model have had which beginnings of prompts."""

    def __init__(self, most_hashes: int = MOST_HASHES) -> None:
        self._most_hashes = most_hashes
        self._caches: dict[EngineId, _Cache] = {}
        self._holders: dict[int, tuple[EngineId, ...]] = {}
        # Those of the hashes that a crowd has.
        self._of_crowds: set[int] = set()
        self._uses = count()

    def __len__(self) -> int:
        """How many hashes are remembered, those of each engine."""
        return sum(len(cache.used) for cache in self._caches.values())

    def __contains__(self, engine_id: EngineId) -> bool:
        return engine_id in self._caches

    def __bool__(self) -> bool:
        """Whether any engine has a cache."""
        return bool(self._caches)

    def join(self, engine_id: EngineId, blocks: int) -> None:
        """This engine has a cache of so many blocks, and nothing in it. One that has joined already is left alone."""
        if blocks > 0 and engine_id not in self._caches:
            self._caches[engine_id] = _Cache(engine_id, blocks)

    def leave(self, engine_id: EngineId) -> None:
        """This engine has gone, and its cache with it. An unknown one is ignored."""
        if (cache := self._caches.get(engine_id)) is not None:
            while cache.uses:
                self._forget_oldest(cache)
            del self._caches[engine_id]

    def use(self, engine_id: EngineId, prefix: bytes) -> Use | None:
        """This engine is given a prompt that begins so. None where nothing is remembered of it."""
        cache = self._caches.get(engine_id)
        if cache is None or not prefix:
            return None
        chain, number, used = hashes(prefix), next(self._uses), cache.used
        length = _length(chain, used)
        blocks = _BLOCKS[length]
        before = used[chain[length - 1]] if length else None
        self._hold(cache, chain[length:])
        cache.held_blocks += _BLOCKS[len(chain)] - blocks
        used.update(dict.fromkeys(chain, number))
        cache.uses.append((number, prefix))
        cache.hashes_of_uses += len(chain)
        self._shrink(cache)
        return Use(number, blocks, before)

    def forget(self, engine_id: EngineId, until: int) -> None:
        """This engine has nothing any more of what it used last then or before."""
        if (cache := self._caches.get(engine_id)) is not None:
            while cache.uses and cache.uses[0][0] <= until:
                self._forget_oldest(cache)

    def held_blocks(self, engine_id: EngineId) -> int:
        """How many blocks this engine is taken to have, of those that there are hashes of."""
        cache = self._caches.get(engine_id)
        return 0 if cache is None else cache.held_blocks

    def holders(self, prefix: bytes, likely: Iterable[EngineId] = ()) -> dict[EngineId, int]:
        """How many blocks engines have of a prompt that begins so: the few that have most, and the `likely` ones."""
        chain = hashes(prefix)
        crowded, few = self._few(chain)
        found = {engine_id: self._held(engine_id, chain) for engine_id in few}
        if crowded:
            for engine_id in likely:
                if engine_id not in found and (blocks := self._held(engine_id, crowded)):
                    found[engine_id] = blocks
        return found

    def fullest(self, chains: Iterable[Sequence[int]], suits: Set[EngineId]) -> Iterator[tuple[int, EngineId, int]]:
        """Of prompts of these hashes, by position, the engine that suits and has the most, and how many blocks.

        None of those of which no such engine has more than a crowd has.
        """
        for position, chain in enumerate(chains):
            first_of_few = next(filterfalse(self._of_crowds.__contains__, chain), _NO_HASH)
            few = self._holders.get(first_of_few, ())
            if not suits.isdisjoint(few):
                held = [(each, self._held(each, chain)) for each in few if each in suits]
                yield position, *max(held, key=itemgetter(1))

    # Inside -------------------------------------------------------------------------------------------------------

    def _few(self, chain: Sequence[int]) -> tuple[Sequence[int], tuple[EngineId, ...]]:
        """What a crowd has of a chain, which is its beginning, and the few engines that have more of it."""
        crowded = list(takewhile(self._of_crowds.__contains__, chain))
        return crowded, () if len(crowded) == len(chain) else self._holders.get(chain[len(crowded)], ())

    def _held(self, engine_id: EngineId, chain: Sequence[int]) -> int:
        """How many blocks this engine has of a chain."""
        cache = self._caches.get(engine_id)
        return 0 if cache is None else _BLOCKS[_length(chain, cache.used)]

    def _shrink(self, cache: _Cache) -> None:
        most = self._most_hashes // len(self._caches)
        while (
            cache.held_blocks > cache.blocks or len(cache.used) > most or cache.hashes_of_uses > _USES_PER_HASH * most
        ):
            self._forget_oldest(cache)

    def _forget_oldest(self, cache: _Cache) -> None:
        """Forget what was used last when the oldest use was: the end of its chain."""
        number, prefix = cache.uses.popleft()
        chain, used = hashes(prefix), cache.used
        cache.hashes_of_uses -= len(chain)
        length = len(chain)
        while length and used[chain[length - 1]] == number:
            length -= 1
            self._drop(cache, chain[length])
        cache.held_blocks -= _BLOCKS[len(chain)] - _BLOCKS[length]

    def _hold(self, cache: _Cache, chain: Sequence[int]) -> None:
        holders = self._holders
        for each in chain:
            others = holders.get(each, ())
            holders[each] = others + cache.alone if others else cache.alone
            if len(others) == CROWD:
                self._of_crowds.add(each)

    def _drop(self, cache: _Cache, each: int) -> None:
        del cache.used[each]
        engine_ids = self._holders[each]
        if len(engine_ids) == 1:
            del self._holders[each]
        else:
            others = tuple([other for other in engine_ids if other != cache.alone[0]])
            self._holders[each] = others if len(others) > 1 else self._caches[others[0]].alone
            if len(others) == CROWD:
                self._of_crowds.remove(each)


def _length(chain: Sequence[int], held: Container[int]) -> int:
    """How many hashes of a chain are among these: whoever has one has all before it."""
    length = len(chain)
    while length and chain[length - 1] not in held:
        length -= 1
    return length
