"""That no core actor hangs: each is asked for a sign of life, and one whose process will not give any is ended.

Ray starts it again; what it was asked meanwhile is asked of the new one. It is ended by its process's id: one that
hangs would not hear a request, and must not wake up beside the one in its place.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from actors.wire.calls import Unreachable
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.liveness.silence import Silence, Vitals
from cluster.timing import Timing

logger = logging.getLogger(__name__)

# Of one actor at a time. What is asked of a process that is stopped lies in its inbox.
_MOST_QUESTIONS = 8


class Ward(Protocol):
    """An actor that is watched."""

    @property
    def name(self) -> str: ...

    async def pulse(self) -> None:
        """Returns once the actor's process has answered. Raises Unreachable when it is gone."""
        ...

    async def vitals(self) -> Vitals | None:
        """What the machine of its process says of that; None when there is none."""
        ...

    async def end(self, vitals: Vitals) -> None:
        """End the process, if it is still this one."""
        ...


class _Watched:
    def __init__(self, ward: Ward, clock: Clock, timing: Timing) -> None:
        self.ward = ward
        self._clock = clock
        self._timing = timing
        self._silence = Silence(timing)
        self._heard_s = clock.monotonic_s()
        self._questions: set[asyncio.Task[None]] = set()

    def ask(self) -> None:
        if len(self._questions) < _MOST_QUESTIONS:
            question = asyncio.create_task(self._ask())
            self._questions.add(question)
            question.add_done_callback(self._questions.discard)

    async def _ask(self) -> None:
        # One that is gone, or being started, is Ray's and the Supervisor's to see to.
        with suppress(Unreachable):
            await self.ward.pulse()
        self._heard_s = self._clock.monotonic_s()
        self._silence.end()

    async def look(self) -> None:
        """End its process if that hangs."""
        if self._clock.monotonic_s() - self._heard_s < self._timing.silent_s:
            return
        asked_s = self._heard_s
        vitals = await self.ward.vitals()
        if vitals is None or self._heard_s != asked_s:
            self._silence.end()
        elif self._silence.hangs(vitals, self._clock.monotonic_s()):
            logger.warning("%s hangs (process %d): it is ended, and begins anew", self.ward.name, vitals.pid)
            await self.ward.end(vitals)
            self._silence.end()

    def stop(self) -> None:
        for question in self._questions:
            question.cancel()


class Watch:
    """Looks after the actors that it is told of."""

    def __init__(self, timing: Timing = Timing(), clock: Clock = SYSTEM_CLOCK) -> None:
        self._timing = timing
        self._clock = clock
        self._watched: dict[str, _Watched] = {}

    async def look(self, wards: Sequence[Ward]) -> None:
        """Ask each of these for a sign of life, without waiting for it, and look at those that have long given none."""
        names = {ward.name for ward in wards}
        for gone in self._watched.keys() - names:
            self._watched.pop(gone).stop()
        for ward in wards:
            if ward.name not in self._watched:
                self._watched[ward.name] = _Watched(ward, self._clock, self._timing)
        for watched in self._watched.values():
            watched.ask()
        await asyncio.gather(*(watched.look() for watched in self._watched.values()))

    def stop(self) -> None:
        for watched in self._watched.values():
            watched.stop()
