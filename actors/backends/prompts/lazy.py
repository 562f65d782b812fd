"""One model's encoder, loaded in the background. A load that failed is repeated, ever more rarely, as prompts come."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from actors.backends.failures import one_line
from actors.backends.prompts.encoder import PromptEncoder
from actors.backends.prompts.loader import NotLoaded, load_encoder
from cluster.catalogue import Model
from cluster.clock import SYSTEM_CLOCK, Clock

log = logging.getLogger(__name__)

FIRST_RETRY_S = 60.0
LAST_RETRY_S = 3600.0
"""How long a failed load is not repeated: at first, and at most. Each failure doubles it."""

Load = Callable[[Model], Awaitable[PromptEncoder]]


class LazyEncoder:
    """The encoder of one model, where it can be had. What `load` raises is logged, once until it succeeds."""

    def __init__(self, model: Model, load: Load = load_encoder, clock: Clock = SYSTEM_CLOCK) -> None:
        self._model = model
        self._load = load
        self._clock = clock
        self._encoder: PromptEncoder | None = None
        self._loading: asyncio.Task[None] | None = None
        self._retry_s = FIRST_RETRY_S
        self._not_before_s = 0.0
        self._failed = False

    def start(self) -> None:
        """Begin to load, unless that is done, under way, or failed a short while ago."""
        idle = self._loading is None or self._loading.done()
        if self._encoder is None and idle and self._clock.monotonic_s() >= self._not_before_s:
            self._loading = asyncio.create_task(self._try())

    async def stop(self) -> None:
        """Cancel a load that is under way."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])

    async def get(self, patience_s: float) -> PromptEncoder | None:
        """The encoder, or None when there is none yet. Only the first attempt to load is waited for, so long."""
        self.start()
        if self._encoder is None and self._loading is not None and not self._failed:
            await asyncio.wait([self._loading], timeout=patience_s)
        return self._encoder

    async def _try(self) -> None:
        try:
            self._encoder = await self._load(self._model)
        except NotLoaded as reason:
            self._postpone(str(reason))
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine still counts
            self._postpone(one_line(error))
        else:
            if self._failed:
                log.info("model %s: prompts are counted before they are accepted from now on", self._model.id)

    def _postpone(self, reason: str) -> None:
        if not self._failed:
            log.warning("model %s: prompts are not counted before they are accepted: %s", self._model.id, reason)
        self._failed = True
        self._not_before_s = self._clock.monotonic_s() + self._retry_s
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
