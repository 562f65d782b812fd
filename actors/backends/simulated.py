"""A backend without a model: its timing is set, its text a pure function of (messages, seed, index).

It is there for load tests, chaos tests and for trying the system without a model. Because of its text, an
interrupted job must equal an undisturbed one to the character.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Condition, Thread
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from actors.backends.base import BackendDied, Chunk, Loaded, Sink
from actors.backends.generation import Generation
from actors.backends.prompts.by_length import prompt_tokens
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.messages.work import ChatMessage, Dispatch, FinishReason, Sampling

log = logging.getLogger(__name__)

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Index = Annotated[int, Meta(ge=0)]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """What a catalogue's `engine:` may say of a simulated model.

    The switches `..._at_token: k` catch a generation that is about to produce token k, counted from 0. One
    that was resumed at k or later has passed that point and goes on; k = 0 catches every one.
    """

    first_token_s: Seconds = 0.05
    token_s: Seconds = 0.01
    batch_slots: Count = 64
    output_tokens: Count = 128
    context_length: Count = 8192
    load_s: Seconds = 0.0
    fail_on_load: str | None = None
    fail_at_token: Index | None = None
    hang_at_token: Index | None = None
    die_at_token: Index | None = None


def parse_options(options: Mapping[str, Any]) -> Options:
    """Raises ValueError naming the key and the reason."""
    unknown = sorted(set(options) - set(Options.__struct_fields__))
    if unknown:
        known = ", ".join(Options.__struct_fields__)
        raise ValueError(f"engine.{unknown[0]}: unknown option of the simulated backend; known are {known}")
    for key, value in options.items():
        try:
            msgspec.convert({key: value}, Options)
        except msgspec.ValidationError as error:
            reason = str(error).removesuffix(f" - at `$.{key}`")
            raise ValueError(f"engine.{key}: {reason[:1].lower()}{reason[1:]}") from error
    return msgspec.convert(dict(options), Options)


_WORDS = """
the a one this every some no another and or but while because although when where under over near small large
quiet bright early late green silver gentle heavy narrow distant patient simple sudden warm river mountain
window garden letter engine harbour market bridge lantern orchard station meadow cellar teacher sailor baker
neighbour child stranger painter gardener carries finds remembers follows repairs answers crosses borrows
waits listens returns begins learns sings travels slowly often never together
"""
_PHRASES = ["of course,", "in the end,", "as usual,", "once more,", "on the other hand,", "a long time ago,"]
_PLAIN = [f"{word} " for word in (*_WORDS.split(), *_PHRASES)]
_ACCENTED = [f"{word} " for word in ("café", "naïve", "Ærø", "Łódź", "żółw", "Привет", "日本語", "مرحبا")]
_EMOJI = [f"{emoji} " for emoji in ("🌍", "🚀", "🦊", "🎉", "👩‍🚀", "🏔️", "🧭", "𝒳")]
VOCABULARY = (*_PLAIN, *_ACCENTED, *_EMOJI, "\n")
"""The text of every token id."""

_ACCENTED_FROM = len(_PLAIN)
_EMOJI_FROM = _ACCENTED_FROM + len(_ACCENTED)
_NEWLINE = len(VOCABULARY) - 1


def digest(messages: Sequence[ChatMessage], seed: int | None) -> int:
    """The 64 bits that a dialogue's answer depends on. No seed is a seed like any other."""
    data = msgspec.msgpack.encode(([(message.role, message.content) for message in messages], seed))
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def simulated_token_id(digest: int, index: int) -> int:
    """Token `index` of an answer. Line ends, accents and emoji come at regular places."""
    bits = (digest ^ (index * 0x9E3779B97F4A7C15)) * 0xD6E8FEB86659FD93 >> 29 & 0xFFFFFFFF
    place = index % 24
    if place == 5:
        return _EMOJI_FROM + bits % len(_EMOJI)
    if place == 11:
        return _ACCENTED_FROM + bits % len(_ACCENTED)
    return _NEWLINE if place == 23 else bits % len(_PLAIN)


def simulated_token(digest: int, index: int) -> str:
    """The text of token `index` of an answer."""
    return VOCABULARY[simulated_token_id(digest, index)]


def simulated_text(messages: Sequence[ChatMessage], seed: int | None, n_tokens: int) -> str:
    """The first `n_tokens` of the answer to `messages`: what an undisturbed job generates."""
    key = digest(messages, seed)
    return "".join([simulated_token(key, index) for index in range(n_tokens)])


class _Simulation(Generation):
    """A generation, and where it stands in its answer."""

    __slots__ = ("digest", "finish_reason", "index", "last", "ready_s", "refusal", "trap")

    def __init__(self, dispatch: Dispatch, options: Options) -> None:
        job = dispatch.job
        super().__init__(dispatch, prompt_tokens(job.messages))
        self.digest = digest(job.messages, job.sampling.seed)
        self.index = len(dispatch.resume.token_ids)
        self.last = min(job.sampling.max_tokens, options.output_tokens)
        self.finish_reason: FinishReason = "stop" if options.output_tokens < job.sampling.max_tokens else "length"
        self.refusal = self._refusal(job.sampling, options)
        self.trap = _trap(self.index, options)
        self.ready_s = 0.0

    def _refusal(self, sampling: Sampling, options: Options) -> Chunk | None:
        if sampling.json_schema is not None:
            return self.fail("engine_error", "json_schema: a simulated model has no structured outputs")
        return self.check_context(sampling.max_tokens, options.context_length)

    def step(self) -> Chunk | None:
        """Generate one token."""
        if self.refusal is not None:
            return self.refusal
        index = self.index
        if index >= self.last:  # resumed at its end
            return self.advance("", (), self.finish_reason)
        token_id = simulated_token_id(self.digest, index)
        self.index = index = index + 1
        return self.advance(VOCABULARY[token_id], (token_id,), self.finish_reason if index == self.last else None)


def _trap(resumed: int, options: Options) -> int:
    """The index at which a failure switch catches this generation; -1 for never."""
    switches = (options.fail_at_token, options.hang_at_token, options.die_at_token)
    ahead = [k for k in switches if k is not None and (k > resumed or k == resumed == 0)]
    return min(ahead, default=-1)


class SimulatedBackend:
    """Steps at a steady beat of `token_s`; each step brings every generation in the batch one token."""

    def __init__(self, options: Mapping[str, Any], clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._given = options
        self._options = Options()
        self._changed = Condition()
        self._waiting: deque[_Simulation] = deque()
        self._batch: dict[tuple[str, int], _Simulation] = {}
        self._last_step_s = 0.0
        self._stopped = False
        self._thread: Thread | None = None

    def load(self, sink: Sink, died: Callable[[BackendDied], None]) -> Loaded:
        try:
            self._options = parse_options(self._given)
        except ValueError as error:
            raise BackendDied(str(error)) from error
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, timeout=self._options.load_s)
            if self._stopped:
                raise BackendDied("closed while loading")
            if self._options.fail_on_load is not None:
                raise BackendDied(self._options.fail_on_load)
            self._thread = Thread(target=self._run, args=(sink, died), name="simulated-backend", daemon=True)
            self._thread.start()
        return Loaded(slots=self._options.batch_slots, context_length=self._options.context_length)

    def start(self, dispatches: Sequence[Dispatch]) -> None:
        generations = [_Simulation(dispatch, self._options) for dispatch in dispatches]
        with self._changed:
            if not self._stopped:
                self._waiting.extend(generations)
                self._changed.notify()

    def abort(self, jobs: Sequence[tuple[str, int]]) -> None:
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
                if chunks:
                    sink(chunks)
                self._die_if_told()
        except BackendDied as death:
            self._tell(died, death)
        except Exception as error:
            log.exception("the simulated backend failed")
            self._tell(died, BackendDied(f"{type(error).__name__} in the simulated backend"))

    def _tell(self, died: Callable[[BackendDied], None], death: BackendDied) -> None:
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
            generation.ready_s = now_s + self._options.first_token_s
            self._batch[generation.job_id, generation.attempt] = generation

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
                chunk = self._spring(generation) if generation.index == generation.trap else generation.step()
                if chunk is not None:
                    chunks.append(chunk)
                    if generation.ended:
                        del self._batch[key]
        return chunks

    def _spring(self, generation: _Simulation) -> Chunk | None:
        """A generation has come to where a switch catches it."""
        if generation.trap == self._options.fail_at_token:
            return generation.fail("engine_error", f"The simulated backend fails at token {generation.trap}")
        return None  # hung, or about to die with the whole backend

    def _die_if_told(self) -> None:
        k = self._options.die_at_token
        if k is None:
            return
        with self._changed:
            if any(g.trap == k == g.index for g in self._batch.values()):
                raise BackendDied(f"the simulated backend dies at token {k}")
