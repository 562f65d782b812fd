"""The part of an engine on a further machine. Its engine's process owns it: the one does not live without the other."""

import asyncio
import logging

from actors.backends.base import BackendDied, Part

logger = logging.getLogger(__name__)


class EnginePart:
    """Runs what the backend needs on its machine."""

    def __init__(self, part: Part) -> None:
        self._part = part

    async def start(self) -> None:
        """Nothing to do before `run`, which the engine asks for."""

    async def run(self) -> str:
        """Be this part. Answers why it has ended, in the backend's own words."""
        try:
            await asyncio.to_thread(self._part.run)
        except BackendDied as error:
            logger.error("it has ended: %s", error)  # noqa: TRY400 - where it happened is in the backend's own log
            return str(error)
        return "it has ended"

    async def stop(self) -> None:
        """End what it started."""
        await asyncio.to_thread(self._part.close)
