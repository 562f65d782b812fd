"""The names of engines. Pure."""

from collections import OrderedDict
from collections.abc import Iterable

from cluster.ids import EngineId

MOST_ENDED = 100_000
"""So many of those that have ended are remembered, the last ones.

Who has yet to notice hears of it within seconds: a node with its next orders, the cluster with the next survey. So
those that matter are the last few, and at most all engines of a fleet that end at once. One that is told of after so
many others have ended is taken for any that nobody here ordered: adopted where one is missing, and watched as others.
"""


class Numbers:
    """Engines are numbered: no number is used twice while an engine of that number may still run."""

    def __init__(self, existing: Iterable[EngineId]) -> None:
        self._next = 0
        # In the order in which they ended.
        self._ended: OrderedDict[EngineId, None] = OrderedDict()
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
        self._ended[engine_id] = None
        self._ended.move_to_end(engine_id)
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def has_ended(self, engine_id: EngineId) -> bool:
        return engine_id in self._ended


def model_of(engine_id: EngineId) -> str:
    """The model whose engine has this name."""
    return engine_id.rpartition("/")[0]
