"""Which engines of a model have which of its adapters loaded, as they told last. Pure."""

from collections.abc import Iterable

from cluster.ids import EngineId
from cluster.placement import NOWHERE, Loaded, Ranking

CROWD = 64
"""Of more engines than this that have an adapter, those are looked at that are among so many with the least to do."""


class LoadedAdapters:
    """Sole owner of who has what. Only what engines tell is known: what one begins to load counts once it has told."""

    def __init__(self) -> None:
        self._engines: dict[str, set[EngineId]] = {}

    def loaded(self, engine_id: EngineId, before: Iterable[str], now: Iterable[str]) -> None:
        """This engine had these adapters, and has those now."""
        for adapter in before:
            self._engines[adapter].discard(engine_id)
            if not self._engines[adapter]:
                del self._engines[adapter]
        for adapter in now:
            self._engines.setdefault(adapter, set()).add(engine_id)

    def engines(self, adapter: str) -> int:
        """How many have it."""
        return len(self._engines.get(adapter, ()))

    def having(self, adapter: str, ranking: Ranking) -> Loaded:
        """The engines that have it and are worth looking at."""
        engines = self._engines.get(adapter, NOWHERE)
        return engines if len(engines) <= CROWD else engines & set(ranking.likely(CROWD))
