"""One engine, watched from its own machine: is it alive, does it hang, does it generate?"""

import asyncio
from typing import Protocol

from actors.engine import Engine
from actors.wire.calls import Gone, Unreachable
from cluster.clock import Clock
from cluster.liveness.silence import Silence, Vitals
from cluster.liveness.stalls import Progress
from cluster.messages.machines import EngineReport
from cluster.timing import Timing


class Hangs(Exception):
    """The engine will not go on by itself. The message says how that shows."""


class Processes(Protocol):
    """The processes of this machine."""

    async def vitals(self, report: EngineReport) -> Vitals | None:
        """What the kernel says of this engine's process; None when it says nothing of it."""
        ...


class EngineWatch:
    """Asks an engine again and again. While it does not answer, its process is looked at."""

    def __init__(self, engine: Engine, processes: Processes, clock: Clock, timing: Timing) -> None:
        self._engine = engine
        self._processes = processes
        self._clock = clock
        self._timing = timing
        self._silence = Silence(timing)
        self._progress = Progress(timing)

    async def report(self, last: EngineReport) -> EngineReport:
        """What the engine tells of itself, however long that takes. `last` is what it told before.

        Raises Gone when it has died, and Hangs.
        """
        asked_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(self._timing.hang_s):
                report = await self._answer(last)
        except TimeoutError:
            raise Hangs(f"it has not answered for {self._timing.hang_s:g} s") from None
        self._silence.end()
        if self._progress.stalls(report, asked_s, self._clock.monotonic_s()):
            raise Hangs(f"no step for {self._progress.stalled_s:.1f} s with {report.generating} jobs to generate")
        return report

    async def _answer(self, last: EngineReport) -> EngineReport:
        while True:
            asking = asyncio.ensure_future(self._engine.describe())
            try:
                await self._look_until(asking, last)
                return asking.result()
            except Gone:
                raise
            except Unreachable:
                await asyncio.sleep(self._timing.pulse_s)
            finally:
                asking.cancel()

    async def _look_until(self, answered: "asyncio.Future[EngineReport]", last: EngineReport) -> None:
        patience_s = self._timing.silent_s
        while not (await asyncio.wait({answered}, timeout=patience_s))[0]:
            patience_s = self._timing.pulse_s
            vitals = await self._processes.vitals(last)
            if vitals is not None and self._silence.hangs(vitals, self._clock.monotonic_s()):
                raise Hangs("its process is stopped" if vitals.stopped else "its process does nothing")
