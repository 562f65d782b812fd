"""The real backend, on GPU or CPU. The only importer of vLLM, and only when it loads: that takes 14 s.

One thread owns the engine: it is created, fed, stepped and shut down there, and commands come to it through
an inbox. A second one renders and tokenises prompts, so that long ones do not delay the steps of the others.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import connection
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import psutil

from actors.backends.base import BackendDied, Chunk, Loaded, Sink
from actors.backends.environment import is_local
from actors.backends.failures import FailureLog, one_line
from actors.backends.generation import Generation
from cluster.catalogue import Model
from cluster.messages import ChatMessage, Dispatch, Sampling

log = logging.getLogger(__name__)

STEP_TIMEOUT_S = 10.0
"""How long `close` waits for the step under way before it ends the engine's processes."""

EXIT_TIMEOUT_S = 15.0
"""How long vLLM's processes get to end by themselves; on a busy machine they need five seconds."""

_WARM_UP_PROMPTS = 8

FAILED = "The engine could not generate this answer"


def engine_args(model: Model, source: str) -> dict[str, Any]:
    """vLLM's EngineArgs for `model`: what the catalogue says, above a few defaults."""
    args: dict[str, Any] = {"model": source, "disable_log_stats": True}
    if model.gpus == 0:
        args["enforce_eager"] = True  # compiling takes minutes on a CPU
    if model.gpus > 1:
        args |= {"tensor_parallel_size": model.gpus, "distributed_executor_backend": "mp"}
    return args | dict(model.engine)


class VllmBackend:
    """A vLLM engine and its processes.

    Sampling parameters that a job does not have (top_k, repetition_penalty) are those the model's authors
    recommend in its `generation_config.json`, as in vLLM's own server; `engine: {generation_config: vllm}`
    turns that off.

    A resumed job goes on after the token ids it resumes from. With temperature 0 the rest is what it would
    have been, but for what the batch does to vLLM's arithmetic. With a seed, the draws already made are not
    replayed: the rest is drawn with seed + number of resumed tokens, so a resumed job is at least repeatable.
    """

    def __init__(self, model: Model, source: str) -> None:
        self._model = model
        self._source = source
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._prompts = ThreadPoolExecutor(1, thread_name_prefix="vllm-prompts")
        self._failures = FailureLog()
        self._thread: Thread | None = None
        self._engine: Any = None
        self._others: set[psutil.Process] = set()  # this process's children that are not vLLM's
        self._processes: list[psutil.Process] = []
        self._generations: dict[str, Generation] = {}
        self._ready: list[Chunk] = []  # ends decided without a step
        self._killed: Exception | None = None
        self._stopped = False

    def load(self, sink: Sink, died: Callable[[BackendDied], None]) -> Loaded:
        loaded: Future[Loaded] = Future()
        self._thread = Thread(target=self._run, args=(loaded, sink, died), name="vllm-engine", daemon=True)
        self._thread.start()
        return loaded.result()

    def start(self, dispatches: Sequence[Dispatch]) -> None:
        for dispatch in dispatches:
            self._submit(self._render, dispatch)

    def abort(self, jobs: Sequence[tuple[str, int]]) -> None:
        # Through the same queue as the prompts: it must not overtake a start.
        self._submit(self._inbox.put, partial(self._abort, list(jobs)))

    def close(self) -> None:
        self._stopped = True
        self._prompts.shutdown(cancel_futures=True)
        if self._thread is not None:
            self._inbox.put(_wake_up)
            self._thread.join(STEP_TIMEOUT_S)
            _end(self._processes or self._started())
            self._thread.join()
        self._failures.close()

    def _submit(self, function: Callable[..., None], *args: object) -> None:
        if not self._stopped:
            self._prompts.submit(function, *args)

    # In the prompts' thread.

    def _render(self, dispatch: Dispatch) -> None:
        try:
            prompt = self._tokenise(dispatch.job.messages)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
            kind = type(error).__name__  # not the error itself: it may quote the prompt
            log.error("job %s: the chat template failed (%s)", dispatch.job.id, kind)  # noqa: TRY400
            chunk = Generation(dispatch).fail("engine_error", f"{FAILED}: {_template_error(error)}")
            self._inbox.put(partial(self._ready.append, chunk))
        else:
            self._inbox.put(partial(self._add, dispatch, prompt))

    def _tokenise(self, messages: Sequence[ChatMessage]) -> list[int]:
        dialogue = [{"role": message.role, "content": message.content} for message in messages]
        ids = self._engine.get_tokenizer().apply_chat_template(
            dialogue, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return list(ids)

    # In the engine's thread.

    def _run(self, loaded: "Future[Loaded]", sink: Sink, died: Callable[[BackendDied], None]) -> None:
        try:
            loaded.set_result(self._open())
            self._generate(sink)
        except Exception as error:
            reason = BackendDied(self._failures.reason(self._killed or error))
            if not loaded.done():
                loaded.set_exception(reason)
            elif not self._stopped:
                log.exception("vLLM died: %s", reason)
                self._stopped = True
                died(reason)
        finally:
            self._shut()

    def _open(self) -> Loaded:
        self._others = set(_children())
        self._engine = self._create_engine()
        self._processes = self._started()
        self._watch()
        self._warm_up()
        config = self._engine.vllm_config
        return Loaded(
            slots=config.scheduler_config.max_num_seqs,
            context_length=config.model_config.max_model_len,
            processes=tuple(process.pid for process in self._processes),
        )

    def _create_engine(self) -> Any:
        if is_local(self._source) and not Path(self._source).is_dir():
            raise FileNotFoundError(f"there is no folder {self._source}")  # vLLM would say it of a hub id

        from vllm.engine.arg_utils import EngineArgs
        from vllm.logger import DEFAULT_LOGGING_CONFIG
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine

        self._failures.open(DEFAULT_LOGGING_CONFIG)
        # The usage context chooses the batch sizes that suit the hardware: those of a server.
        return LLMEngine.from_engine_args(
            EngineArgs(**engine_args(self._model, self._source)),
            usage_context=UsageContext.OPENAI_API_SERVER,
            enable_multiprocessing=True,
        )

    def _warm_up(self) -> None:
        """Answer a few short prompts: what is made at first use must not cost the first clients seconds.

        Raises what a model without a chat template raises: it is of no use here.
        """
        from vllm.inputs import tokens_input

        prompt = self._tokenise([ChatMessage("user", "?")])
        for number in range(_WARM_UP_PROMPTS):
            params = self._sampling_params(Sampling(max_tokens=4), 0)
            self._engine.add_request(f"warm-up/{number}", tokens_input(prompt), params)
        while self._engine.has_unfinished_requests():
            self._engine.step()

    def _generate(self, sink: Sink) -> None:
        while self._obey():
            chunks = self._step() if self._generations else []
            if self._ready:
                chunks, self._ready = self._ready + chunks, []
            if chunks and not self._stopped:
                sink(chunks)

    def _obey(self) -> bool:
        """Carry out what is in the inbox; wait for something when there is nothing to generate."""
        wait = not self._generations
        try:
            while not self._stopped:
                self._inbox.get(block=wait)()
                wait = False
        except Empty:
            pass
        return not self._stopped

    def _add(self, dispatch: Dispatch, prompt: list[int]) -> None:
        from vllm.inputs import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        sampling, resumed = dispatch.job.sampling, dispatch.resume.token_ids
        generation = Generation(dispatch, len(prompt))
        refusal = generation.check_context(sampling.max_tokens, self._engine.model_config.max_model_len)
        if refusal is None and len(resumed) >= sampling.max_tokens:
            refusal = generation.advance("", (), "length")
        if refusal is not None:
            self._ready.append(refusal)
            return
        request_id = _request_id(generation.job_id, generation.attempt)
        try:
            self._engine.add_request(
                request_id,
                tokens_input([*prompt, *resumed]),
                self._sampling_params(sampling, len(resumed)),
            )
        except EngineDeadError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
            kind = type(error).__name__  # not the error itself: it may quote the prompt
            log.error("job %s: vLLM refused it (%s)", generation.job_id, kind)  # noqa: TRY400
            self._ready.append(generation.fail("engine_error", FAILED))
        else:
            self._generations[request_id] = generation

    def _sampling_params(self, sampling: Sampling, resumed: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        # Stop strings are ours to find (HoldBack): vLLM's own buffer does not end where a token does.
        return SamplingParams(
            **self._engine.model_config.get_diff_sampling_param()
            | {
                "max_tokens": sampling.max_tokens - resumed,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "seed": None if sampling.seed is None else sampling.seed + resumed,
                "output_kind": RequestOutputKind.DELTA,
            }
        )

    def _abort(self, jobs: Sequence[tuple[str, int]]) -> None:
        request_ids = [_request_id(*job) for job in jobs]
        known = [request_id for request_id in request_ids if self._generations.pop(request_id, None)]
        self._engine.abort_request(known)

    def _step(self) -> list[Chunk]:
        chunks = [self._advance(output) for output in self._engine.step()]
        return [chunk for chunk in chunks if chunk is not None]

    def _advance(self, output: Any) -> Chunk | None:
        generation = self._generations.get(output.request_id)
        if generation is None:  # aborted
            return None
        completion = output.outputs[0]
        if completion.finish_reason in (None, "stop", "length"):
            chunk = generation.advance(completion.text, tuple(completion.token_ids), completion.finish_reason)
        else:
            log.error("job %s: vLLM finished it with %r", generation.job_id, completion.finish_reason)
            chunk = generation.fail("engine_error", FAILED)
        if generation.ended:
            del self._generations[output.request_id]
            if not output.finished:  # a stop string
                self._engine.abort_request([output.request_id])
        return chunk

    def _watch(self) -> None:
        """Notice that vLLM's process was killed: vLLM tells neither a waiting step nor an idle engine."""
        client = self._engine.engine_core
        manager = getattr(getattr(client, "resources", None), "engine_manager", None)
        if manager is None:  # not started by this client
            return

        def watch() -> None:
            connection.wait(manager.sentinels())
            self._killed = ChildProcessError("vLLM's engine process was killed, perhaps for lack of memory")
            client.outputs_queue.put(self._killed)
            self._inbox.put(partial(_raise, self._killed))

        Thread(target=watch, name="vllm-watch", daemon=True).start()

    def _shut(self) -> None:
        if self._engine is not None:
            self._engine.engine_core.shutdown(timeout=EXIT_TIMEOUT_S)
            self._engine = None
        _end(self._processes or self._started())
        self._failures.close()

    def _started(self) -> list[psutil.Process]:
        return [process for process in _children() if process not in self._others]


def _request_id(job_id: str, attempt: int) -> str:
    return f"{job_id}/{attempt}"


def _template_error(error: Exception) -> str:
    """What a chat template says when it refuses a dialogue is its author's text, and for the client."""
    from jinja2 import TemplateError

    return one_line(error) if isinstance(error, TemplateError) else "its prompt could not be rendered"


def _children() -> list[psutil.Process]:
    """The processes below this one, but for multiprocessing's resource tracker, which serves them all."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if not any("resource_tracker" in argument for argument in _command_line(process))
    ]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def _end(processes: Sequence[psutil.Process]) -> None:
    """End what is still running: politely, then not."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=EXIT_TIMEOUT_S)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=EXIT_TIMEOUT_S)


def _raise(error: Exception) -> None:
    raise error


def _wake_up() -> None:
    pass
