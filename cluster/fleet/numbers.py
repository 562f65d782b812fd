"""The names of engines. Pure."""

from collections.abc import Iterable

from cluster.ids import EngineId


class Numbers:
    """Engines are numbered: no number is used twice while an engine of that number may still run."""

    def __init__(self, existing: Iterable[EngineId]) -> None:
        self._next = 0
        self._ended: set[EngineId] = set()
        for engine_id in existing:
            self.saw(engine_id)

    def new(self, model: str) -> EngineId:
        """The name of one more engine of this model."""
        self._next += 1
        return EngineId(f"{model}/{self._next - 1}")

    def saw(self, engine_id: EngineId) -> None:
        """An engine of this name is there, or was."""
        self._next = max(self._next, int(engine_id.rpartition("/")[2]) + 1)

    def end(self, engine_id: EngineId) -> None:
        """This engine is dead or to end, whatever others have yet to notice."""
        self._ended.add(engine_id)

    def has_ended(self, engine_id: EngineId) -> bool:
        return engine_id in self._ended


def model_of(engine_id: EngineId) -> str:
    """The model whose engine has this name."""
    return engine_id.rpartition("/")[0]
