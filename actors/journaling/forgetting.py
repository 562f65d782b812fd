"""What engines may forget, told until they know."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from actors.wire.calls import Gone, tell
from actors.wire.every import Every
from cluster.ids import EngineId
from cluster.messages.work import JobAttempt
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine


class Forgetting:
    """Has engines forget attempts: many in one call, and again until the call has come through.

    An engine that is gone has forgotten.
    """

    def __init__(self, engine: "Callable[[EngineId], Engine]", timing: Timing) -> None:
        self._engine = engine
        self._due: dict[EngineId, set[JobAttempt]] = defaultdict(set)
        self._being_told: set[EngineId] = set()
        self._telling = Every(timing.settled_notice_s, self._tell_all, "telling engines what they may forget")

    def start(self) -> None:
        self._telling.start()

    def stop(self) -> None:
        self._telling.stop()

    def add(self, engine_id: EngineId, attempts: Iterable[JobAttempt]) -> None:
        """This engine may forget these."""
        self._due[engine_id].update(attempts)

    async def _tell_all(self) -> None:
        for engine_id in self._due.keys() - self._being_told:
            self._being_told.add(engine_id)
            tell(self._tell(engine_id), "engine.settled")

    async def _tell(self, engine_id: EngineId) -> None:
        told = frozenset(self._due[engine_id])
        try:
            await self._engine(engine_id).settled(sorted(told))
        except Gone:
            told = frozenset(self._due[engine_id])  # there is nobody to tell
        finally:
            self._being_told.discard(engine_id)
        self._due[engine_id] -= told
        if not self._due[engine_id]:
            del self._due[engine_id]
