"""The streams of frames that the Journal reads, one from every engine."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from actors.wire.calls import Gone, Unreachable, tell
from actors.wire.frames import OtherVersion, follow
from cluster.ids import EngineId, new_reader_id
from cluster.messages.machines import EngineReport
from cluster.messages.work import Delta
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.engine import Engine

logger = logging.getLogger(__name__)

Ingest = Callable[[EngineReport, Sequence[Delta]], None]
Beginning = Callable[[Sequence[Delta]], Awaitable[None]]


# An engine that knows everything is asked all the same, every so many times: another may read it by now.
_ASK_EVERY = 10


class _Reception:
    """How many frames of one stream have come, and of how many its engine knows that.

    `replaced` is called when the engine tells another reader: a Journal that this one had replaced has woken up.
    """

    def __init__(self, engine: "Engine", replaced: Callable[[], None]) -> None:
        self._engine = engine
        self._replaced = replaced
        self._unasked = 0
        self.reader = new_reader_id()
        self._received = 0
        self._known = 0
        self._telling = False

    def count(self) -> None:
        """One more has come."""
        self._received += 1

    def acknowledge(self) -> None:
        """Tell the engine what it does not know for sure, unless it is being told."""
        self._unasked += 1
        if (self._known != self._received or self._unasked >= _ASK_EVERY) and not self._telling:
            self._telling, self._unasked = True, 0
            tell(self._tell(self._received), "engine.acknowledge")

    async def _tell(self, received: int) -> None:
        try:
            if not await self._engine.acknowledge(self.reader, received):
                self._replaced()
            self._known = received
        finally:
            self._telling = False


class EngineStreams:
    """Reads each engine for as long as it lives, and says which one does not, or cannot be reached.

    `beginning` is waited for with what a stream begins with: all that its engine has.
    """

    def __init__(
        self,
        engine: "Callable[[EngineId], Engine]",
        beginning: Beginning,
        ingest: Ingest,
        lost: Callable[[EngineId], None],
        unreached: Callable[[EngineId], None],
        timing: Timing,
    ) -> None:
        self._engine = engine
        self._beginning = beginning
        self._ingest = ingest
        self._lost = lost
        self._unreached = unreached
        self._timing = timing
        self._readings: dict[EngineId, asyncio.Task[None]] = {}
        self._receptions: dict[EngineId, _Reception] = {}
        # Engines from before this Journal that have told nothing yet.
        self._unheard: set[EngineId] = set()
        self._all_heard = asyncio.Event()
        self._patience: asyncio.TimerHandle | None = None

    def start(self, engine_ids: Sequence[EngineId]) -> None:
        """Read these, which ran before this Journal."""
        self._unheard = set(engine_ids)
        self._patience = asyncio.get_running_loop().call_later(self._timing.hear_engines_s, self._all_heard.set)
        self._note_heard()
        self.attach(engine_ids)

    def attach(self, engine_ids: Sequence[EngineId]) -> None:
        """Read these engines. One that is read already is left alone."""
        for engine_id in engine_ids:
            if engine_id not in self._readings:
                self._readings[engine_id] = asyncio.create_task(self._read(engine_id))

    def stop(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        for reading in self._readings.values():
            reading.cancel()

    async def all_heard(self) -> None:
        """Returns when every engine from before this Journal has told all it has, or is gone, or has had its time."""
        await self._all_heard.wait()

    async def acknowledge(self) -> None:
        """Tell every engine how much of its stream has come, until it knows: one that does not sends nothing more."""
        for reception in self._receptions.values():
            reception.acknowledge()

    def _read_anew(self, engine_id: EngineId) -> None:
        """Take the engine's stream from whoever has it."""
        logger.warning("reading %s again: another has read it since", engine_id)
        if (reading := self._readings.get(engine_id)) is not None:
            reading.add_done_callback(lambda _: self.attach([engine_id]))
            reading.cancel()

    async def _read(self, engine_id: EngineId) -> None:
        """Read an engine for as long as it lives."""
        try:
            while True:
                await self._read_once(engine_id)
        except Gone as error:
            logger.warning("%s", error)
        except OtherVersion as error:
            logger.error("%s is of no use: %s", engine_id, error)  # noqa: TRY400
        finally:
            del self._readings[engine_id]
            self._receptions.pop(engine_id, None)
            self._note_heard(engine_id)
        self._lost(engine_id)

    async def _read_once(self, engine_id: EngineId) -> None:
        try:
            await self._read_stream(await self._engine(engine_id).describe())
        except Gone:
            raise
        except Unreachable as error:
            logger.warning("reading %s again: %s", engine_id, error)
            self._unreached(engine_id)
            await asyncio.sleep(self._timing.repeat_s)

    async def _read_stream(self, source: EngineReport) -> None:
        """Read one stream. Returns when it has to be read again from the start: it has grown old, or has a gap."""
        engine = self._engine(source.id)
        reception = self._receptions[source.id] = _Reception(engine, partial(self._read_anew, source.id))

        def take(deltas: Sequence[Delta]) -> None:
            self._ingest(source, deltas)
            reception.count()
            if self._unheard:
                self._note_heard(source.id)

        try:
            frames = engine.frames(reception.reader)
            await follow(frames, take, lambda _: reception.acknowledge(), self._beginning)
        except (Unreachable, OtherVersion):
            raise
        except Exception as error:  # noqa: BLE001 - told, and mended by reading everything again
            logger.warning("reading %s again: %s: %s", source.id, type(error).__name__, error)
            await asyncio.sleep(self._timing.repeat_s)

    def _note_heard(self, engine_id: EngineId | None = None) -> None:
        if engine_id is not None:
            self._unheard.discard(engine_id)
        if not self._unheard:
            self._all_heard.set()
