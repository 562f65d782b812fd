"""The backend itself: a thread that steps at a steady beat, and the switches by which it fails, hangs or dies."""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Condition, Thread
from typing import Any

from actors.backends.base import NO_MEDIA, Adapted, BackendDied, Chunk, Loaded, Media, Sink
from actors.backends.generation import Generation
from actors.backends.prompts.by_length import prompt_tokens
from actors.backends.simulated.options import Options, parse_options
from actors.backends.simulated.prefix_cache import PrefixCache
from actors.backends.simulated.text import VOCABULARY, digest, follows, simulated_token_id, varied
from cluster.catalogue import Adapter
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.measures.engine_times import Times
from cluster.messages.machines import AdapterRefusal, EngineFigures
from cluster.messages.marks import FinishReason
from cluster.messages.work import Asking, ChatMessage, Dispatch, Form, JobAttempt, Sampling

log = logging.getLogger(__name__)


class _Simulation(Generation):
    """A generation, and where it stands in its answer."""

    __slots__ = (
        "adapter",
        "digest",
        "finish_reason",
        "index",
        "is_deadly",
        "last",
        "messages",
        "number",
        "ready_s",
        "refusal",
        "trap",
    )

    def __init__(self, dispatch: Dispatch, options: Options, known: Mapping[int, str]) -> None:
        job = dispatch.job
        super().__init__(dispatch, prompt_tokens(job.messages))
        self.adapter = job.adapter
        self.number = job.adapter_number
        self.digest = self._digest(dispatch, options)
        self.index = len(dispatch.resume.token_ids)
        self.last = min(job.sampling.max_tokens, options.output_tokens)
        self.finish_reason: FinishReason = "stop" if options.output_tokens < job.sampling.max_tokens else "length"
        self.refusal = self._refusal(job.sampling, options, known)
        self.trap = _trap(self.index, options)
        self.is_deadly = options.die_of is not None and any(options.die_of in m.content for m in job.messages)
        self.messages = job.messages
        self.ready_s = 0.0

    def _digest(self, dispatch: Dispatch, options: Options) -> int:
        plain = digest(dispatch.job.messages, dispatch.job.sampling.seed, dispatch.job.adapter)
        if not options.vary_by_attempt:
            return plain
        # Whoever goes on from a text goes on with it: the attempt that drew it is the one whose tokens these are.
        drawn = [varied(plain, attempt) for attempt in range(dispatch.attempt, 0, -1)]
        return next(filter(partial(follows, dispatch.resume.token_ids), drawn), drawn[0])

    def _refusal(self, sampling: Sampling, options: Options, known: Mapping[int, str]) -> Chunk | None:
        if self.adapter and self.number not in known and self.adapter not in known.values():
            return self.fail("engine_error", f"adapter {self.adapter}: the engine does not know it", retryable=True)
        if sampling.json_schema is not None:
            return self.fail("engine_error", "json_schema: a simulated model has no structured outputs")
        return self.check_context(sampling.max_tokens, options.context_length)

    def said(self) -> str:
        """Its answer, as far as it has come."""
        return "".join([VOCABULARY[simulated_token_id(self.digest, index)] for index in range(self.index)])

    def step(self) -> Chunk | None:
        """Generate one token."""
        if self.refusal is not None:
            return self.refusal
        index = self.index
        if index >= self.last:  # resumed at its end
            return self.advance((), (), self.finish_reason)
        token_id = simulated_token_id(self.digest, index)
        self.index = index = index + 1
        return self.advance((VOCABULARY[token_id],), (token_id,), self.finish_reason if index == self.last else None)


def _trap(resumed: int, options: Options) -> int:
    """The index at which a failure switch catches this generation; -1 for never."""
    switches = (options.fail_at_token, options.hang_at_token, options.freeze_at_token, options.die_at_token)
    ahead = [k for k in switches if k is not None and (k > resumed or k == resumed == 0)]
    return min(ahead, default=-1)


class SimulatedBackend:
    """Steps at a steady beat of `token_s`; each step brings every generation in the batch one token."""

    def __init__(
        self, options: Mapping[str, Any], clock: Clock = SYSTEM_CLOCK, adapters: Sequence[Adapter] = ()
    ) -> None:
        """`adapters` are those of its model."""
        self._clock = clock
        self._made_with = adapters
        self._adapted = Adapted()
        self._known: Mapping[int, str] = {}
        self._loaded: tuple[str, ...] = ()
        self._given = options
        self._options = Options()
        self._changed = Condition()
        self._waiting: deque[_Simulation] = deque()
        self._batch: dict[tuple[str, int], _Simulation] = {}
        self._cache = PrefixCache(0, 1)
        self._reads_until_s = 0.0
        self._last_step_s = 0.0
        self._steps = 0
        self._stopped = False
        self._thread: Thread | None = None

    @property
    def phase(self) -> str:
        return ""

    def load(self, sink: Sink, died: Callable[[BackendDied], None]) -> Loaded:
        try:
            self._options = parse_options(self._given)
        except ValueError as error:
            raise BackendDied(str(error)) from error
        options = self._options
        self.adapt(self._made_with)
        for refusal in self._adapted.refused:
            if any(each.number == refusal.number and not each.added_ms for each in self._made_with):
                raise BackendDied(refusal.reason)
        self._cache = PrefixCache(options.prefix_blocks, options.block_size)
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, timeout=self._options.load_s)
            if self._stopped:
                raise BackendDied("closed while loading")
            if self._options.fail_on_load is not None:
                raise BackendDied(self._options.fail_on_load)
            self._thread = Thread(target=self._run, args=(sink, died), name="simulated-backend", daemon=True)
            self._thread.start()
        cached = (self._cache.tokens, options.block_size) if options.prefix_blocks else (0, 0)
        return Loaded(options.batch_slots, options.context_length, *cached)

    @property
    def steps(self) -> int:
        return self._steps

    @property
    def adapters(self) -> Sequence[str]:
        return self._loaded

    @property
    def adapted(self) -> Adapted:
        return self._adapted

    def adapt(self, adapters: Sequence[Adapter]) -> "Future[None]":
        refusals = ((adapter, self._refuse(adapter)) for adapter in adapters)
        refused = {adapter.number: refusal for adapter, refusal in refusals if refusal is not None}
        self._known = {each.number: each.id for each in adapters if each.number not in refused}
        self._adapted = Adapted(tuple(self._known), tuple(refused.values()))
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _refuse(self, adapter: Adapter) -> AdapterRefusal | None:
        bad = self._options.bad_adapter
        if bad is not None and bad in adapter.source:
            return AdapterRefusal(adapter.number, f"{bad} is in its source")
        if self._options.lora_from_start and not self._made_with:
            return AdapterRefusal(adapter.number, "it was made without adapters", outgrown=True)
        return None

    @property
    def figures(self) -> EngineFigures | None:
        return None

    @property
    def times(self) -> Times:
        return {}

    def start(self, dispatches: Sequence[Dispatch], media: Media = NO_MEDIA) -> None:
        generations = [_Simulation(dispatch, self._options, self._known) for dispatch in dispatches]
        with self._changed:
            if not self._stopped:
                self._waiting.extend(generations)
                self._changed.notify()

    def ask(self, form: Form, sampling: Sampling, media: Media = NO_MEDIA) -> "Future[Asking]":
        asking: Future[Asking] = Future()
        asking.set_result(Asking(refusal="a simulated model answers dialogues of texts alone"))
        return asking

    def abort(self, jobs: Sequence[JobAttempt]) -> None:
        gone = set(jobs)
        with self._changed:
            self._waiting = deque(g for g in self._waiting if (g.job_id, g.attempt) not in gone)
            for job in gone:
                self._batch.pop(job, None)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self, sink: Sink, died: Callable[[BackendDied], None]) -> None:
        try:
            while self._wait_for_step():
                chunks = self._step()
                self._steps += 1
                if chunks:
                    sink(chunks)
                self._freeze_if_trapped()
                self._raise_if_dying()
        except BackendDied as death:
            self._report_death(died, death)
        except Exception as error:
            log.exception("the simulated backend failed")
            self._report_death(died, BackendDied(f"{type(error).__name__} in the simulated backend"))

    def _report_death(self, died: Callable[[BackendDied], None], death: BackendDied) -> None:
        with self._changed:
            closed, self._stopped = self._stopped, True
        if not closed:
            died(death)

    def _wait_for_step(self) -> bool:
        """Sleep until the next step is due. False when there will be none."""
        with self._changed:
            while not self._stopped:
                now_s = self._clock.monotonic_s()
                self._admit(now_s)
                due_s = self._due_s()
                if due_s is not None and due_s <= now_s:
                    # The beat is kept by the clock: a step that came late does not make the next one late,
                    # and steps missed altogether are not made up for in a burst.
                    self._last_step_s = max(due_s, now_s - self._options.token_s)
                    return True
                self._changed.wait(None if due_s is None else due_s - now_s)
            return False

    def _admit(self, now_s: float) -> None:
        while self._waiting and len(self._batch) < self._options.batch_slots:
            generation = self._waiting.popleft()
            generation.ready_s = self._read(generation, now_s) + self._options.first_token_s
            self._batch[generation.job_id, generation.attempt] = generation

    def _read(self, generation: _Simulation, now_s: float) -> float:
        """Read its prompt. Returns when that is done."""
        if self._options.prefix_blocks:
            generation.cached_tokens = self._cache.read(generation.messages, generation.adapter)
        unread = generation.prompt_tokens - (generation.cached_tokens or 0)
        reading_s = unread * self._options.prefill_token_s + self._load_adapter(generation)
        self._reads_until_s = max(now_s, self._reads_until_s) + reading_s
        return self._reads_until_s

    def _load_adapter(self, generation: _Simulation) -> float:
        """Have its adapter from now on. Returns how long that takes."""
        if not generation.adapter or generation.refusal is not None:
            return 0.0
        others = tuple(each for each in self._loaded if each != generation.adapter)
        loading_s = self._options.adapter_s if generation.adapter not in self._loaded else 0.0
        self._loaded = (*others, generation.adapter)[-self._options.max_loras :]
        return loading_s

    def _due_s(self) -> float | None:
        if not self._batch:
            return None
        first_ready_s = min([generation.ready_s for generation in self._batch.values()])
        return max(self._last_step_s + self._options.token_s, first_ready_s)

    def _step(self) -> list[Chunk]:
        """One token for every generation in the batch that has its first token behind it, or due."""
        now_s = self._clock.monotonic_s()
        chunks: list[Chunk] = []
        with self._changed:
            for key, generation in list(self._batch.items()):
                if generation.ready_s > now_s:
                    continue
                trapped = generation.index == generation.trap or generation.is_deadly
                chunk = self._fail_or_hang(generation) if trapped else generation.step()
                if chunk is not None:
                    chunks.append(chunk)
                    if generation.ended:
                        del self._batch[key]
                        self._keep_answer(generation)
        return chunks

    def _keep_answer(self, generation: _Simulation) -> None:
        """What it has said is in its cache, too, as the next prompt of the dialogue has it."""
        if self._options.prefix_blocks:
            said = ChatMessage("assistant", generation.said())
            self._cache.read((*generation.messages, said), generation.adapter)

    def _fail_or_hang(self, generation: _Simulation) -> Chunk | None:
        """What a generation says at the token where a switch catches it."""
        if generation.trap == self._options.fail_at_token:
            message = f"The simulated backend fails at token {generation.trap}"
            return generation.fail("engine_error", message, retryable=True)
        return None  # hung, or about to freeze or die with the whole backend

    def _freeze_if_trapped(self) -> None:
        k = self._options.freeze_at_token
        if k is None:
            return
        with self._changed:
            if self._is_trapped(k):
                self._changed.wait_for(lambda: self._stopped)

    def _raise_if_dying(self) -> None:
        k = self._options.die_at_token
        if k is None and self._options.die_of is None:
            return
        with self._changed:
            if k is not None and self._is_trapped(k):
                raise BackendDied(f"the simulated backend dies at token {k}")
            if any(g.is_deadly for g in self._batch.values()):
                raise BackendDied("the simulated backend dies of a prompt")

    def _is_trapped(self, k: int) -> bool:
        """Whether a generation has been caught by the switch that is set to `k`."""
        return any(g.trap == k == g.index for g in self._batch.values())
