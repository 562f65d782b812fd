"""A plain object in the process of its actor: made and started there, however often that fails, and then called.

For Ray, a constructor that raises is a death for good, whatever the reason and however many restarts are allowed. So an
actor that must not die has no constructor that can fail: what fails is tried again behind it, while its calls wait.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from actors.wire.calls import NotStarted, Unreached
from cluster.errors import StartError

logger = logging.getLogger(__name__)

START = "start"


class Patience(Struct, frozen=True):
    """How long a host waits, in seconds."""

    # A call that meets an actor which has not started yet waits this long, and then fails as one that is not reached.
    call_s: float = 5.0
    # Whoever asks for the start itself waits this long.
    start_s: float = 60.0
    # The pause before the second attempt to start; each one after it is twice as long as the one before, up to:
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0


class Host:
    """Makes a plain object with `make`, then starts it, for as long as it takes.

    A call waits for the start, for a while: after that it raises `Unreached`. The reason is not in it, but in the
    log, once each time that it changes: it may hold addresses, and calls are made for clients.
    """

    def __init__(self, name: str, make: Callable[[], Awaitable[Any]], patience: Patience = Patience()) -> None:
        self._name = name
        self._make = make
        self._patience = patience
        self._hosted: Any = None
        self._has_started = asyncio.Event()
        self._has_answer = asyncio.Event()
        self._refusal: StartError | None = None
        self._reason = "it is still being started"
        self._starting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start in the background, again and again until it succeeds."""
        self._starting = asyncio.create_task(self._start_until_it_succeeds())

    async def begin_once(self) -> None:
        """Start now. Raises what prevents it."""
        await self._start()

    async def call(self, method: str, *args: Any) -> Any:
        """What the object's method answers. `start` is the host's own: whether the object has started."""
        if method == START:
            return await self._answer_of_start()
        return await getattr(await self.started(), method)(*args)

    async def started(self) -> Any:
        """The object, once it has started. Raises Unreached when that takes too long."""
        if not self._has_started.is_set():
            try:
                async with asyncio.timeout(self._patience.call_s):
                    await self._has_started.wait()
            except TimeoutError:
                raise NotStarted(f"{self._name} has not started yet") from None
        return self._hosted

    async def close(self) -> None:
        """Stop trying to start. What has started is left alone."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)

    async def _start_until_it_succeeds(self) -> None:
        pause_s = self._patience.first_pause_s
        while True:
            try:
                return await self._start()
            except Exception as error:  # noqa: BLE001 - whatever it is: an actor that gave up would be gone for good
                self._note(error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._patience.longest_pause_s)

    async def _start(self) -> None:
        if self._hosted is None:
            self._hosted = await self._make()
        await self._hosted.start()
        self._refusal = None
        self._has_started.set()
        self._has_answer.set()

    def _note(self, error: Exception) -> None:
        self._refusal = error if isinstance(error, StartError) else None
        if self._refusal is not None:
            self._has_answer.set()
        else:
            self._has_answer.clear()
        reason = f"{type(error).__name__}: {error}"
        if reason != self._reason:
            self._reason = reason
            logger.warning("%s does not start: %s; trying again", self._name, reason)

    async def _answer_of_start(self) -> None:
        """Returns once the object has started.

        Raises StartError as soon as a start was refused with one, and Unreached when it takes too long. Both tell the
        reason: it is whoever runs the system that asks for this.
        """
        try:
            async with asyncio.timeout(self._patience.start_s):
                await self._has_answer.wait()
        except TimeoutError:
            raise Unreached(f"{self._name} has not started: {self._reason}") from None
        if self._refusal is not None:
            raise self._refusal
