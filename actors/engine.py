"""A model replica: runs generations on its backend and keeps each one's output until the Journal has it for good."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence

from actors.backends.base import Backend, BackendDied, Chunk, Loaded, Media
from actors.backends.generating import Generating
from actors.backends.generation import Generation
from actors.machine import gc
from actors.machine.log_lines import about, about_job
from actors.media.fetching import Fetching
from actors.media.shelf import AskFor, MediaShelf
from actors.telemetry.engine_times import EngineTimes
from actors.telemetry.generations import GenerationSpans
from actors.wire.frames import JobLog, Outbox
from cluster.catalogue import Adapter
from cluster.ids import EngineId, JobId, NodeId
from cluster.messages.machines import EngineReport, EngineState, Make
from cluster.messages.media import MediumHash
from cluster.messages.work import Asking, Dispatch, Form, JobAttempt, Sampling
from cluster.text.token_log import TokenLog

logger = logging.getLogger(__name__)


_MOST_ADAPTERS_TOLD = 64
"""Reports come every second: of an engine that has more of them loaded, those used last are told."""


_ADAPTING_S = 2.0
"""Who tells an engine of adapters waits for so long for what it makes of them."""


async def _no_media(hashes: Sequence[MediumHash]) -> Sequence[bytes | None]:
    return [None] * len(hashes)


class Engine:
    """Sole owner of its running generations.

    It has one reader, the Journal. A new reader is told everything again from the start, which is how a Journal that
    lost its memory gets it back.
    """

    def __init__(
        self,
        engine_id: EngineId,
        model: str,
        node_id: NodeId,
        backend: Backend,
        interval_s: float,
        on_death: Callable[[], None] = lambda: None,
        made_of: Make | None = None,
        ask_for_media: AskFor = _no_media,
        times: EngineTimes | None = None,
    ) -> None:
        """`times` hands in how long the backend took."""
        self._id = engine_id
        self._model = model
        self._node_id = node_id
        self._backend = backend
        self._interval_s = interval_s
        self._on_death = on_death
        self._made_of = made_of
        self._logs: dict[JobId, JobLog] = {}
        self._unconfirmed: set[JobId] = set()
        self._generating = Generating()
        self._spans = GenerationSpans(engine_id)
        self._times = times
        self._shelf = MediaShelf(ask_for_media)
        self._fetching = Fetching(self._shelf, self._begin, self._fail)
        self._outbox = Outbox(interval_s, with_tokens=True)
        self._reader = ""
        self._state: EngineState = "starting"
        self._message = ""
        self._loaded = Loaded(slots=0, context_length=0)
        self._loading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Nothing to do before `load`, which takes long and is asked for by the NodeAgent."""

    async def load(self) -> EngineReport:
        """Load the model, once however often it is asked for. Raises BackendDied with the backend's reason."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        await asyncio.shield(self._loading)
        return await self.describe()

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()

        def sink(chunks: Sequence[Chunk]) -> None:
            loop.call_soon_threadsafe(self._accept, chunks)

        def died(error: BackendDied) -> None:
            loop.call_soon_threadsafe(self._die, error)

        self._loaded = await asyncio.to_thread(self._backend.load, sink, died)
        gc.freeze()
        self._state = "ready"
        if self._times is not None:
            self._times.start()

    async def generate(self, dispatches: Sequence[Dispatch]) -> None:
        """Begin to generate. A dispatch that is known already is a repeated call, an older one is ignored.

        A newer attempt stops the one before it. What is generated of an unconfirmed job is told once it is confirmed.
        """
        fresh = [d for d in dispatches if self._is_newer(d)]
        if superseded := [(d.job.id, self._logs[d.job.id].attempt) for d in fresh if d.job.id in self._logs]:
            self._backend.abort(superseded)
            for attempt in superseded:
                self._fetching.stop(attempt)
        for dispatch in fresh:
            job_id, log = dispatch.job.id, TokenLog(dispatch.resume, dispatch.epoch)
            self._logs[job_id] = JobLog(job_id, dispatch.attempt, log, dispatch.resume.prompt_ids)
            self._logs[job_id].origin = dispatch.job.origin
            self._spans.begin(dispatch)
            tokens = len(dispatch.resume.token_ids)
            logger.debug("attempt %d begins here, at token %d", dispatch.attempt, tokens, extra=about_job(dispatch.job))
            if dispatch.confirmed:
                self._unconfirmed.discard(job_id)
                self._outbox.watch(self._logs[job_id], log.length, len(log.token_ids))
            else:
                self._unconfirmed.add(job_id)
        await self.confirm([(d.job.id, d.attempt) for d in dispatches if d.confirmed])
        for dispatch in fresh:
            if dispatch.job.form is not None and dispatch.job.form.media:
                self._fetching.begin(dispatch)
            else:
                self._generating.begin(dispatch)
        self._backend.start([d for d in fresh if d.job.form is None or not d.job.form.media])

    async def adapt(self, adapters: Sequence[Adapter]) -> EngineReport:
        """Know these adapters of the model from now on, and no others; what runs goes on with its own.

        Returns what it makes of them, of one that takes long (it may have to be fetched) not yet. May be repeated.
        """
        await asyncio.wait({asyncio.wrap_future(self._backend.adapt(adapters))}, timeout=_ADAPTING_S)
        return await self.describe()

    async def ask(self, form: Form, sampling: Sampling) -> Asking:
        """What this form asks, as the model's own front end has it.

        Raises BackendDied when that cannot be told, MediumLost, and what the Ledger raises, of which its media are had.
        """
        media = await self._shelf.get(form.media)
        return await asyncio.wrap_future(self._backend.ask(form, sampling, media))

    async def confirm(self, jobs: Sequence[JobAttempt]) -> None:
        """These may be told of, from their start. What is unknown, or was confirmed before, is ignored."""
        for job_id, attempt in jobs:
            if job_id in self._unconfirmed and self._is_current(job_id, attempt):
                self._unconfirmed.remove(job_id)
                self._outbox.watch(self._logs[job_id])

    async def abort(self, jobs: Sequence[JobAttempt]) -> None:
        """Stop generating, and keep what there is until it is settled or forgotten.

        What is unknown here is passed on all the same: the backend may still work on it.
        """
        self._backend.abort(jobs)
        for job_id, attempt in jobs:
            waiting = self._fetching.stop((job_id, attempt))
            if self._is_current(job_id, attempt):
                if waiting is not None:
                    self._generating.begin(waiting)  # it is told of as one that was stopped
                self._generating.stop(job_id, attempt)
                self._spans.drop(job_id)

    async def settled(self, jobs: Sequence[JobAttempt]) -> None:
        """The ends of these are durable: their outputs may go."""
        for job_id, attempt in jobs:
            if self._is_current(job_id, attempt):
                del self._logs[job_id]
                self._unconfirmed.discard(job_id)
                self._generating.forget(job_id)
                self._spans.drop(job_id)
                self._outbox.unwatch(job_id)

    async def forget(self, jobs: Sequence[JobAttempt]) -> None:
        """Stop generating, and forget: nobody will ask for what there is."""
        await self.abort(jobs)
        await self.settled(jobs)

    async def frames(self, reader: str = "") -> AsyncGenerator[bytes, None]:
        """Everything of every job from its start, then what is new, as frames. The last reader to come is told."""
        # Not ended: a Journal that has been replaced would read again, and take the stream from the one that is read.
        self._outbox.unwatch_all()
        self._outbox = outbox = Outbox(self._interval_s, with_tokens=True)
        self._reader = reader
        for job_id, job_log in self._logs.items():
            if job_id not in self._unconfirmed:
                outbox.watch(job_log)
        async for frame in outbox.frames():
            yield frame

    async def acknowledge(self, reader: str, frames: int) -> bool:
        """So many have come. False when another reader has taken the place of this one."""
        if reader != self._reader:
            return False
        self._outbox.acknowledge(frames)
        return True

    async def describe(self) -> EngineReport:
        adapted = self._backend.adapted  # once: its thread may tell otherwise in between
        return EngineReport(
            id=self._id,
            model=self._model,
            node_id=self._node_id,
            state=self._state,
            message=self._message,
            pid=os.getpid(),
            slots=self._loaded.slots,
            context_length=self._loaded.context_length,
            running=tuple((log.job_id, log.attempt) for log in self._logs.values()),
            tokens=tuple(len(log.log.token_ids) for log in self._logs.values()),
            unconfirmed=tuple((job_id, self._logs[job_id].attempt) for job_id in self._unconfirmed),
            stopped=tuple(self._generating.stopped),
            failed=tuple(self._generating.failed),
            steps=self._backend.steps,
            generating=len(self._generating),
            prefill_tokens=self._generating.prefill_tokens,
            phase=self._backend.phase if self._state == "starting" else "",
            cache_tokens=self._loaded.cache_tokens,
            block_tokens=self._loaded.block_tokens,
            made_of=self._made_of,
            adapters=tuple(self._backend.adapters)[-_MOST_ADAPTERS_TOLD:],
            figures=self._backend.figures,
            known=adapted.known,
            refused=adapted.refused,
        )

    async def stop(self) -> None:
        """End the backend and whatever processes it started."""
        self._state = "stopped"
        self._fetching.stop_all()
        if self._times is not None:
            await self._times.stop()
        await asyncio.to_thread(self._backend.close)

    def _begin(self, dispatch: Dispatch, media: Media) -> None:
        """Its media are there."""
        self._generating.begin(dispatch)
        self._backend.start([dispatch], media)

    def _fail(self, dispatch: Dispatch) -> None:
        """Its media are lost."""
        self._generating.begin(dispatch)
        lost = Generation(dispatch).fail("engine_error", "A picture or a sound of this job is not there any more")
        self._accept([lost])

    def _accept(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            if not self._is_current(chunk.job_id, chunk.attempt) or not self._generating.hear(chunk):
                continue
            job_log = self._logs[chunk.job_id]
            job_log.prompt_tokens = chunk.prompt_tokens or job_log.prompt_tokens
            job_log.keep_prompt(chunk.prompt_ids)
            if chunk.cached_tokens is not None:
                job_log.cached_tokens = chunk.cached_tokens
            job_log.log.append(chunk.text, chunk.token_ids, chunk.ends, chunk.marks)
            if chunk.end is not None:
                job_log.log.close(chunk.end)
                logger.debug("attempt %d is done", chunk.attempt, extra=about(chunk.job_id, job_log.origin))
            job_log.touch()
            if job_log.origin.trace:
                self._spans.hear(chunk)

    def _die(self, error: BackendDied) -> None:
        # An engine without its backend is no engine: ending the process tells everybody at once.
        logger.error("backend of %s died: %s", self._id, error)
        self._state, self._message = "failed", str(error)
        self._on_death()

    def _is_current(self, job_id: JobId, attempt: int) -> bool:
        job_log = self._logs.get(job_id)
        return job_log is not None and job_log.attempt == attempt

    def _is_newer(self, dispatch: Dispatch) -> bool:
        job_log = self._logs.get(dispatch.job.id)
        return job_log is None or dispatch.attempt > job_log.attempt
