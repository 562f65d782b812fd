"""How long an engine took, handed in to the Ledger: what it has counted outlives it."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from actors.backends.base import Backend
from actors.wire.handing_in import HandingIn
from cluster.ids import new_holder_id
from cluster.measures import engine_times
from cluster.measures.tallies import Tallies
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.ledger import Ledger

EVERY_S = 15.0
"""Engines are many, and each has more to hand in than others who count."""


class EngineTimes:
    """Hands in what the backend of an engine of `model` counts. What cannot be handed in now is the next time."""

    def __init__(self, model: str, backend: Backend, ledger: "Ledger", every_s: float = EVERY_S) -> None:
        self._model = model
        self._backend = backend
        self._tallies = Tallies(new_holder_id())
        timing = replace(Timing(), hand_in_s=every_s)
        self._handing_in = HandingIn(self._tallies, ledger, timing, before=self._count)

    def start(self) -> None:
        self._handing_in.start()

    async def stop(self) -> None:
        """Hand in what is left, if that can be done soon."""
        await self._handing_in.stop()

    def _count(self) -> None:
        engine_times.count(self._tallies, self._model, self._backend.times)
