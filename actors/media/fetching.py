"""Jobs of an engine that wait for their pictures and sounds: what has none does not wait for them."""

import asyncio
import logging
from collections.abc import Callable

from actors.backends.base import Media
from actors.machine.log_lines import about_job
from actors.media.shelf import MediaShelf, MediumLost
from cluster.messages.work import Dispatch, JobAttempt
from cluster.timing import Timing

logger = logging.getLogger(__name__)


class Fetching:
    """Each dispatch is `ready` with its media, or has `failed` for good. The Ledger is asked until it answers."""

    def __init__(
        self,
        shelf: MediaShelf,
        ready: Callable[[Dispatch, Media], None],
        failed: Callable[[Dispatch], None],
        repeat_s: float = Timing().repeat_s,
    ) -> None:
        self._shelf = shelf
        self._ready = ready
        self._failed = failed
        self._repeat_s = repeat_s
        self._waiting: dict[JobAttempt, tuple[Dispatch, asyncio.Task[None]]] = {}

    def begin(self, dispatch: Dispatch) -> None:
        attempt = dispatch.job.id, dispatch.attempt
        self._waiting[attempt] = dispatch, asyncio.create_task(self._fetch(dispatch))

    def stop(self, attempt: JobAttempt) -> Dispatch | None:
        """The dispatch that waited, and does not any more; None where none did."""
        dispatch, task = self._waiting.pop(attempt, (None, None))
        if task is not None:
            task.cancel()
        return dispatch

    def stop_all(self) -> None:
        for attempt in list(self._waiting):
            self.stop(attempt)

    async def _fetch(self, dispatch: Dispatch) -> None:
        media = await self._media(dispatch)
        del self._waiting[dispatch.job.id, dispatch.attempt]
        if media is None:
            self._failed(dispatch)
        else:
            self._ready(dispatch, media)

    async def _media(self, dispatch: Dispatch) -> Media | None:
        """None where there is nothing to wait for any more."""
        form = dispatch.job.form
        while True:
            try:
                return await self._shelf.get(form.media if form else ())
            except MediumLost as error:
                logger.error("%s", error, extra=about_job(dispatch.job))  # noqa: TRY400
                return None
            except Exception as error:  # noqa: BLE001 - told, and asked again: the Ledger comes back
                logger.warning("waits for its media (%s)", type(error).__name__, extra=about_job(dispatch.job))
                await asyncio.sleep(self._repeat_s)
