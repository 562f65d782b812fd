"""vLLM as a backend, on GPU or CPU.

One thread owns the engine: it is made, fed, stepped and shut down there, and commands come to it through an inbox.
A second one renders the prompts that come as text, so that long ones do not delay the steps of the others.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import repeat
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread

from msgspec.structs import replace

from actors.backends.base import NO_MEDIA, Adapted, BackendDied, Chunk, Loaded, Media, Sink
from actors.backends.download import Download
from actors.backends.generation import Generation
from actors.backends.marked import MarkedGeneration, Token
from actors.backends.phases import Phases
from actors.backends.vllm.adapter_files import AdapterRefused
from actors.backends.vllm.adapting import Adapting, without_added
from actors.backends.vllm.engine import InvalidRequest, Pooled, Produced, VllmEngine, Wanted
from actors.backends.vllm.failures import FailureLog
from actors.backends.vllm.frontend import RequestRefused
from actors.backends.vllm.making import make_engine
from actors.backends.vllm.pooled import PooledGeneration
from actors.backends.vllm.processes import EXIT_TIMEOUT_S, EngineProcesses
from actors.backends.vllm.rendering import (
    FAILED,
    Rendered,
    RenderingFailed,
    check,
    is_plain,
    render,
    render_plain,
)
from actors.backends.vllm.rendering_pooled import check_pooled, render_pooled
from actors.backends.vllm.warm_up import warm_up, warm_up_pooling
from cluster.catalogue import Adapter, Model
from cluster.measures.engine_times import Times
from cluster.messages.machines import EngineFigures
from cluster.messages.work import Asking, Dispatch, Form, JobAttempt, Sampling

log = logging.getLogger(__name__)

STEP_TIMEOUT_S = 10.0
"""How long `close` waits for the step under way before it ends the engine's processes."""

_QUEUED_SHARE = 8
"""An engine is given an eighth more jobs than its batch holds: a place in the batch is taken again in the next step,
and not once the Ledger has the last job's end."""

Command = Callable[[VllmEngine], None]


class VllmBackend:
    """A vLLM engine and its processes.

    Sampling parameters that a job does not have (top_k, repetition_penalty) are those the model's authors
    recommend in its `generation_config.json`, as in vLLM's own server; `engine: {generation_config: vllm}`
    turns that off.

    A resumed job goes on after the token ids it resumes from. With temperature 0 the rest is what it would
    have been, but for what the batch does to vLLM's arithmetic. With a seed, the draws already made are not
    replayed: the rest is drawn with seed + number of resumed tokens, so a resumed job is at least repeatable.

    A pooling model generates nothing: its jobs' answers are numbers, told as a whole (`pooling.py`).

    A job with a JSON Schema follows it, resumed or not (`structured.py`); one whose schema cannot be followed, or
    whose model cannot follow any, ends with an error.
    """

    def __init__(self, model: Model, source: str, make: Callable[..., VllmEngine] = make_engine) -> None:
        self._model = model
        self._source = source
        self._make = make
        self._phases = Phases(model.id)
        self._download = Download(model)
        self._inbox: SimpleQueue[Command] = SimpleQueue()
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="vllm-prompts")
        self._failures = FailureLog()
        # vLLM does not remove its sockets.
        self._sockets = TemporaryDirectory(prefix="infernet-ipc-")
        self._processes: EngineProcesses | None = None
        self._thread: Thread | None = None
        self._watcher: Thread | None = None
        self._engine: VllmEngine | None = None
        self._structured_outputs = False
        self._answers: dict[str, tuple[Generation, int]] = {}  # by vLLM's request: whose it is, and which choice
        self._requests: dict[JobAttempt, list[str]] = {}
        self._adapting = Adapting(model, source, self._inbox.put)
        self._parses = bool(model.conversation.reasoning_parser)
        self._refusals: list[Chunk] = []  # ends that no step brings
        self._killed: Exception | None = None
        self._steps = 0
        self._stopped = False

    def load(self, sink: Sink, died: Callable[[BackendDied], None]) -> Loaded:
        loaded: Future[Loaded] = Future()
        self._processes = EngineProcesses()
        self._thread = Thread(target=self._run, args=(loaded, sink, died), name="vllm-engine", daemon=True)
        self._thread.start()
        return loaded.result()

    @property
    def phase(self) -> str:
        return (self._phases.now and self._download.told()) or self._phases.now

    @property
    def steps(self) -> int:
        return self._steps

    @property
    def adapters(self) -> Sequence[str]:
        engine = self._engine
        return () if engine is None else engine.loaded_adapters

    @property
    def adapted(self) -> Adapted:
        engine = self._engine
        return Adapted() if engine is None else engine.adapted

    def adapt(self, adapters: Sequence[Adapter]) -> "Future[None]":
        return self._adapting.adapt(adapters)

    @property
    def figures(self) -> EngineFigures | None:
        engine = self._engine
        return None if engine is None else engine.figures

    @property
    def times(self) -> Times:
        engine = self._engine
        return {} if engine is None else engine.times

    def start(self, dispatches: Sequence[Dispatch], media: Media = NO_MEDIA) -> None:
        for dispatch in dispatches:
            if _is_rendered(dispatch) and not self._parses and not self._model.pools:
                self._inbox.put(partial(self._add_plain, dispatch))
            else:
                self._submit(self._render, dispatch, media)

    def abort(self, jobs: Sequence[JobAttempt]) -> None:
        # Through the same queue as the prompts: it must not overtake a start.
        self._submit(self._inbox.put, partial(self._abort, list(jobs)))

    def close(self) -> None:
        self._stopped = True
        self._renderer.shutdown(cancel_futures=True)
        self._adapting.close()
        if self._thread is not None:
            self._inbox.put(_wake_up)
            self._thread.join(STEP_TIMEOUT_S)
            self._end_processes()
            self._thread.join()
        self._failures.close()
        self._sockets.cleanup()

    def _submit(self, function: Callable[..., None], *args: object) -> None:
        if not self._stopped:
            self._renderer.submit(function, *args)

    def ask(self, form: Form, sampling: Sampling, media: Media = NO_MEDIA) -> "Future[Asking]":
        return self._renderer.submit(self._ask, form, sampling, media)

    # In the renderer's thread ----------------------------------------------------------------------------------------

    def _render(self, dispatch: Dispatch, media: Media) -> None:
        if (engine := self._engine) is None:
            return
        try:
            if self._model.pools:
                self._inbox.put(partial(self._add_pooled, render_pooled(engine, dispatch)))
            else:
                self._inbox.put(partial(self._add, render(engine, dispatch, self._structured_outputs, media)))
        except RenderingFailed as failure:
            self._inbox.put(partial(self._refuse, Generation(dispatch).fail("engine_error", str(failure))))

    def _ask(self, form: Form, sampling: Sampling, media: Media) -> Asking:
        if (engine := self._engine) is None:
            raise BackendDied("it has been closed")
        try:
            if self._model.pools:
                return Asking(check_pooled(engine, form).tokens)
            asked = check(engine, form, sampling, self._structured_outputs, media)
        except RequestRefused as refusal:
            return Asking(refusal=str(refusal))
        return Asking(sum(map(len, asked.prompts)), asked.prompts[0] if len(asked.prompts) == 1 else ())

    # In the engine's thread ------------------------------------------------------------------------------------------

    def _run(self, loaded: "Future[Loaded]", sink: Sink, died: Callable[[BackendDied], None]) -> None:
        try:
            engine = self._engine = self._made()
            loaded.set_result(self._prepare(engine))
            self._generate(engine, sink)
        except Exception as error:
            reason = BackendDied(self._failures.reason(self._killed or error))
            if not loaded.done():
                loaded.set_exception(reason)
            elif not self._stopped:
                log.exception("vLLM died: %s", reason)
                self._stopped = True
                died(reason)
        finally:
            self._shut_down()

    def _made(self) -> VllmEngine:
        """The engine. What admins have added to the model does not keep it from being made.

        Where vLLM does not start, it is tried without the adapter that was added last, then without all that were.
        """
        reason = ""
        *attempts, last = without_added(self._model.adapters)
        for left_out in attempts:
            try:
                return self._made_without(left_out, reason)
            except Exception as error:
                if self._stopped or isinstance(error, AdapterRefused):
                    raise
                reason = reason or self._failures.reason(error)
            log.warning("%s does not start, and is tried without added adapters: %s", self._model.id, reason)
            self._end_processes()
            self._failures.forget()
        return self._made_without(last, reason)

    def _made_without(self, left_out: Sequence[Adapter], reason: str) -> VllmEngine:
        adapters = tuple(adapter for adapter in self._model.adapters if adapter not in left_out)
        engine = self._make_of(replace(self._model, adapters=adapters))
        for adapter in left_out:
            engine.refuse(adapter, f"vLLM does not start with it: {reason}")
        return engine

    def _make_of(self, model: Model) -> VllmEngine:
        return self._make(model, self._source, self._sockets.name, self._failures.open, self._phases)

    def _prepare(self, engine: VllmEngine) -> Loaded:
        if self._processes is not None:
            self._processes.complete()
        self._watcher = engine.watch(self._note_killed)
        self._phases.begin("warming up")
        if self._model.pools:
            warm_up_pooling(engine)
        else:
            self._structured_outputs = warm_up(engine, self._model.id)
        engine.begin_times()
        self._phases.end()
        slots = engine.batch_size + max(1, engine.batch_size // _QUEUED_SHARE)
        return Loaded(slots, engine.context_length, engine.cache_tokens, engine.block_tokens)

    def _generate(self, engine: VllmEngine, sink: Sink) -> None:
        while self._run_commands(engine):
            made = self._step(engine)
            self._steps += 1
            chunks, self._refusals = self._refusals, []
            chunks += [chunk for chunk in made if chunk is not None]
            if chunks and not self._stopped:
                sink(chunks)

    def _step(self, engine: VllmEngine) -> Sequence[Chunk | None]:
        if not self._answers:
            return []
        if self._model.pools:
            return [self._take(each, engine) for each in engine.step_pooling()]
        return [self._advance(each, engine) for each in engine.step()]

    def _run_commands(self, engine: VllmEngine) -> bool:
        """Run the commands in the inbox; wait for one when there is nothing to generate. False when closed."""
        wait = not self._answers
        try:
            while not self._stopped:
                self._inbox.get(block=wait)(engine)
                wait = False
        except Empty:
            pass
        return not self._stopped

    def _add_plain(self, dispatch: Dispatch, engine: VllmEngine) -> None:
        self._add(render_plain(engine, dispatch, dispatch.prompt_ids), engine)

    def _add(self, rendered: Rendered, engine: VllmEngine) -> None:
        generation = rendered.generation
        max_tokens = rendered.wanted[0].sampling.max_tokens
        if refusal := generation.check_context(max_tokens, engine.context_length, rendered.longest_prompt):
            self._refuse(refusal, engine)
            return
        for wanted in rendered.wanted:
            if not self._begin(generation, wanted, engine):
                self._drop(generation, engine)
                return
        if not generation.ended and (generation.job_id, generation.attempt) not in self._requests:
            self._refuse(generation.conclude(), engine)  # all that was missing is its end

    def _begin(self, generation: Generation, wanted: Wanted, engine: VllmEngine) -> bool:
        """Have one choice generated, unless it has come to its end. False when vLLM refuses it."""
        if not generation.goes_on(wanted.choice):
            return True
        if len(wanted.resumed) >= wanted.sampling.max_tokens:
            if end := generation.end_choice(wanted.choice, "length"):
                self._refuse(end, engine)
            return True
        request_id = _request_id(generation.job_id, generation.attempt, wanted.choice)
        return self._request(generation, wanted.choice, partial(engine.add, request_id, wanted), engine)

    def _add_pooled(self, pooled: PooledGeneration, engine: VllmEngine) -> None:
        for number, (inputs, params) in enumerate(pooled.asked.inputs):
            request_id = _request_id(pooled.job_id, pooled.attempt, number)
            if not self._request(pooled, number, partial(engine.pool, request_id, inputs, params), engine):
                self._drop(pooled, engine)
                return

    def _request(self, generation: Generation, number: int, add: Callable[[], None], engine: VllmEngine) -> bool:
        """Give vLLM one of a job's requests. False when it refuses it."""
        try:
            add()
        except AdapterRefused as refusal:
            log.error("%s", refusal, extra=generation.about)  # noqa: TRY400
            self._refuse(generation.fail("engine_error", f"{FAILED}: {refusal}", retryable=True), engine)
            return False
        except Exception as error:
            if engine.is_dead(error):
                raise
            kind = type(error).__name__  # not the error itself: it may quote the prompt
            log.error("vLLM refused it (%s)", kind, extra=generation.about)  # noqa: TRY400
            invalid = isinstance(error, InvalidRequest)
            self._refuse(generation.fail("engine_error", FAILED, retryable=not invalid), engine)
            return False
        request_id = _request_id(generation.job_id, generation.attempt, number)
        self._answers[request_id] = (generation, number)
        self._requests.setdefault((generation.job_id, generation.attempt), []).append(request_id)
        return True

    def _refuse(self, end: Chunk, engine: VllmEngine) -> None:
        self._refusals.append(end)

    def _abort(self, jobs: Sequence[JobAttempt], engine: VllmEngine) -> None:
        request_ids = [request_id for job in jobs for request_id in self._requests.pop(job, ())]
        engine.abort([request_id for request_id in request_ids if self._answers.pop(request_id, None)])

    def _drop(self, generation: Generation, engine: VllmEngine) -> None:
        """Nothing more of it is wanted of vLLM."""
        self._abort([(generation.job_id, generation.attempt)], engine)

    def _advance(self, produced: Produced, engine: VllmEngine) -> Chunk | None:
        answer = self._answers.get(produced.request_id)
        if answer is None:  # aborted
            return None
        generation, choice = answer
        if choice == 0 and generation.cached_tokens is None:
            generation.cached_tokens = produced.cached_tokens
        if produced.error is None:
            chunk = self._turned(generation, choice, produced)
        else:
            log.error("vLLM finished it with %r", produced.error, extra=generation.about)
            # By vLLM's own words its `error` is one to be tried again; `abort` is not of our doing here.
            chunk = generation.fail("engine_error", FAILED, retryable=True)
        if produced.finished:
            self._answers.pop(produced.request_id, None)
        elif not generation.goes_on(choice):  # a stop string
            del self._answers[produced.request_id]
            engine.abort([produced.request_id])
        if generation.ended:
            self._drop(generation, engine)
        return chunk

    def _turned(self, generation: Generation, choice: int, produced: Produced) -> Chunk | None:
        """What is told of what a step brought. An answer that the model's parser fails on fails, and no other."""
        try:
            return _chunk(generation, choice, produced)
        except Exception as error:
            if not isinstance(generation, MarkedGeneration):
                raise
            kind = type(error).__name__  # not the error itself: it may quote the answer
            log.error("its answer could not be parsed (%s)", kind, extra=generation.about)  # noqa: TRY400
            return generation.fail("engine_error", f"{FAILED}: the model's parser failed on what it wrote")

    def _take(self, pooled: Pooled, engine: VllmEngine) -> Chunk | None:
        generation, number = self._answers.pop(pooled.request_id, (None, 0))
        if not isinstance(generation, PooledGeneration):  # aborted
            return None
        chunk = generation.take(number, pooled.output)
        if generation.ended:
            self._drop(generation, engine)
        return chunk

    def _shut_down(self) -> None:
        if self._engine is not None:
            self._engine.shut_down()
            self._engine = None
        self._end_processes()
        if self._watcher is not None:  # it ends with the process that it watches
            self._watcher.join(EXIT_TIMEOUT_S)
        self._failures.close()
        self._sockets.cleanup()

    # In any thread ---------------------------------------------------------------------------------------------------

    def _note_killed(self, error: Exception) -> None:
        self._killed = error
        self._inbox.put(partial(_raise, error))

    def _end_processes(self) -> None:
        if self._processes is not None:
            self._processes.end()


def _is_rendered(dispatch: Dispatch) -> bool:
    """Nothing has to be done with it before vLLM is given it."""
    sampling = dispatch.job.sampling
    plain = is_plain(dispatch.job) and sampling.json_schema is None and not sampling.others
    return bool(dispatch.prompt_ids) and not dispatch.resume.token_ids and plain


def _chunk(generation: Generation, choice: int, produced: Produced) -> Chunk | None:
    """What is told of what a step brought for this choice."""
    texts, token_ids = produced.texts, produced.token_ids
    if not isinstance(generation, MarkedGeneration):
        return generation.advance(texts, token_ids, produced.finish_reason, produced.stop_reason)
    if produced.prompt_logprobs:
        generation.tell_prompt(choice, produced.prompt_logprobs)
    tokens = tuple(map(Token, texts, token_ids, produced.logprobs or repeat("")))
    return generation.advance_choice(choice, tokens, produced.finish_reason, produced.stop_reason)


def _request_id(job_id: str, attempt: int, choice: int) -> str:
    return f"{job_id}/{attempt}/{choice}" if choice else f"{job_id}/{attempt}"


def _raise(error: Exception, engine: VllmEngine) -> None:
    raise error


def _wake_up(engine: VllmEngine) -> None:
    pass
