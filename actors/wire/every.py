"""A step that an actor takes again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from actors.wire.calls import AWAY

logger = logging.getLogger(__name__)


class Every:
    """Takes `step` at once when started, then `interval_s` after each time it ended, until it is stopped.

    A step that raises is logged as `what` and taken again when it is due. `hasten` makes the next one due at once.
    `taken` waits for a step to end: a test's signal.
    """

    def __init__(self, interval_s: float, step: Callable[[], Awaitable[object]], what: str) -> None:
        self._interval_s = interval_s
        self._step = step
        self._what = what
        self._due = asyncio.Event()
        self._ended = asyncio.Condition()
        self._running: asyncio.Task[None] | None = None
        self._begun = 0
        self._completed = 0

    def start(self) -> None:
        """Begin. One that runs already is left alone."""
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name=self._what)

    def stop(self) -> None:
        """Take no more steps; the one under way is cancelled."""
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def hasten(self) -> None:
        """Take the next step now, or as soon as the one under way has ended."""
        self._due.set()

    async def taken(self) -> None:
        """Return when the next step that begins after this call has ended, well or not."""
        begun = self._begun
        async with self._ended:
            await self._ended.wait_for(lambda: self._completed > begun)

    async def _run(self) -> None:
        while True:
            self._due.clear()
            self._begun += 1
            try:
                await self._step()
            except AWAY as error:
                logger.warning("%s: %s: %s; trying again", self._what, type(error).__name__, error)
            except Exception:
                logger.exception("%s failed; trying again", self._what)
            self._completed += 1
            async with self._ended:
                self._ended.notify_all()
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._interval_s):
                await self._due.wait()
        except TimeoutError:
            return
