"""The real backend, on GPU or CPU. The only importer of vLLM, and only when it loads: that takes 14 s.

One thread owns the engine: it is created, fed, stepped and shut down there, and commands come to it through
an inbox. A second one renders and tokenises the prompts that come as text, so that long ones do not delay the steps of
the others.
"""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import connection
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import psutil

from actors.backends.base import BackendDied, Chunk, Loaded, Sink
from actors.backends.environment import is_local
from actors.backends.failures import FailureLog, one_line
from actors.backends.generation import Generation
from actors.backends.vllm import structured
from actors.machine import scheduling_class
from cluster.catalogue import Model
from cluster.json_schemas import UnsupportedSchema
from cluster.messages.work import ChatMessage, Dispatch, Sampling

log = logging.getLogger(__name__)

STEP_TIMEOUT_S = 10.0
"""How long `close` waits for the step under way before it ends the engine's processes."""

EXIT_TIMEOUT_S = 15.0
"""How long vLLM's processes get to end by themselves; on a busy machine they need five seconds."""

_WARM_UP_PROMPTS = 8

_AHEAD = 8
"""An engine is given an eighth more jobs than its batch holds: a place in the batch is taken again in the next step,
and not once the Ledger has the last job's end."""

FAILED = "The engine could not generate this answer"


def engine_args(model: Model, source: str) -> dict[str, Any]:
    """vLLM's EngineArgs for `model`: what the catalogue says, above a few defaults."""
    args: dict[str, Any] = {"model": source, "disable_log_stats": True}
    if model.gpus == 0:
        args["enforce_eager"] = True  # compiling takes minutes on a CPU
    if model.gpus > 1:
        args |= {"tensor_parallel_size": model.gpus, "distributed_executor_backend": "mp"}
    return args | dict(model.engine)


class _TrialFailed(Exception):
    """vLLM took a request of the warm-up and then gave it up."""


class VllmBackend:
    """A vLLM engine and its processes.

    Sampling parameters that a job does not have (top_k, repetition_penalty) are those the model's authors
    recommend in its `generation_config.json`, as in vLLM's own server; `engine: {generation_config: vllm}`
    turns that off.

    A resumed job goes on after the token ids it resumes from. With temperature 0 the rest is what it would
    have been, but for what the batch does to vLLM's arithmetic. With a seed, the draws already made are not
    replayed: the rest is drawn with seed + number of resumed tokens, so a resumed job is at least repeatable.

    A job with a JSON Schema follows it, resumed or not (`structured.py`); one whose schema cannot be followed, or
    whose model cannot follow any, ends with an error.
    """

    def __init__(self, model: Model, source: str) -> None:
        self._model = model
        self._source = source
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._prompts = ThreadPoolExecutor(1, thread_name_prefix="vllm-prompts")
        self._failures = FailureLog()
        # vLLM leaves its sockets lying about.
        self._sockets = TemporaryDirectory(prefix="infernet-ipc-")
        self._thread: Thread | None = None
        self._watcher: Thread | None = None
        self._engine: Any = None
        self._recommended: dict[str, Any] = {}  # sampling parameters, by the model's authors
        self._others: set[psutil.Process] = set()  # this process's children that are not vLLM's
        self._processes: list[psutil.Process] = []
        self._structured = False  # whether the model can follow a schema
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
            if dispatch.prompt_ids and dispatch.job.sampling.json_schema is None:
                self._inbox.put(partial(self._add, dispatch, list(dispatch.prompt_ids), {}))
            else:
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
        self._sockets.cleanup()

    def _submit(self, function: Callable[..., None], *args: object) -> None:
        if not self._stopped:
            self._prompts.submit(function, *args)

    # In the prompts' thread.

    def _render(self, dispatch: Dispatch) -> None:
        try:
            constraint = self._constraint(dispatch)
            prompt = list(dispatch.prompt_ids) or self._tokenise(dispatch.job.messages)
        except UnsupportedSchema as error:
            self._refuse(dispatch, f"json_schema: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
            kind = type(error).__name__  # not the error itself: it may quote the prompt
            log.error("job %s: the chat template failed (%s)", dispatch.job.id, kind)  # noqa: TRY400
            self._refuse(dispatch, f"{FAILED}: {_template_error(error)}")
        else:
            self._inbox.put(partial(self._add, dispatch, prompt, constraint))

    def _refuse(self, dispatch: Dispatch, message: str) -> None:
        self._inbox.put(partial(self._ready.append, Generation(dispatch).fail("engine_error", message)))

    def _constraint(self, dispatch: Dispatch) -> dict[str, Any]:
        """The sampling parameters that a job's schema adds. Raises UnsupportedSchema with what vLLM would say later."""
        from vllm import SamplingParams
        from vllm.exceptions import VLLMValidationError

        schema = dispatch.job.sampling.json_schema
        if schema is None:
            return {}
        if not self._structured:
            raise UnsupportedSchema("this model has no structured outputs")
        constraint = _constraint(schema, len(dispatch.resume.token_ids))
        config = self._engine.vllm_config
        try:
            SamplingParams(**constraint).verify(
                config.model_config,
                config.speculative_config,
                config.structured_outputs_config,
                self._engine.get_tokenizer(),
            )
        except VLLMValidationError as error:
            raise UnsupportedSchema(structured.reason(error)) from error
        return constraint

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
        self._recommended = self._engine.model_config.get_diff_sampling_param()  # reads a file
        self._processes = self._started()
        self._watch()
        self._warm_up()
        config = self._engine.vllm_config
        return Loaded(
            slots=config.scheduler_config.max_num_seqs + max(1, config.scheduler_config.max_num_seqs // _AHEAD),
            context_length=config.model_config.max_model_len,
            processes=tuple(process.pid for process in self._processes),
        )

    def _create_engine(self) -> Any:
        if is_local(self._source) and not Path(self._source).is_dir():
            raise FileNotFoundError(f"there is no folder {self._source}")  # vLLM would say it of a hub id

        from vllm.config import StructuredOutputsConfig
        from vllm.engine.arg_utils import EngineArgs
        from vllm.logger import DEFAULT_LOGGING_CONFIG
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine

        self._failures.open(DEFAULT_LOGGING_CONFIG)
        os.environ["VLLM_RPC_BASE_PATH"] = self._sockets.name
        # The usage context chooses the batch sizes that suit the hardware: those of a server.
        args = engine_args(self._model, self._source)
        structured_outputs = {**structured.CONFIG, **args.get("structured_outputs_config", {})}
        args["structured_outputs_config"] = StructuredOutputsConfig(**structured_outputs)
        with scheduling_class.going_first():
            return LLMEngine.from_engine_args(
                EngineArgs(**args),
                usage_context=UsageContext.OPENAI_API_SERVER,
                enable_multiprocessing=True,
            )

    def _warm_up(self) -> None:
        """Answer a few short prompts: what is made at first use must not cost the first clients seconds.

        Raises what a model without a chat template raises: it is of no use here.
        """
        prompt = self._tokenise([ChatMessage("user", "?")])
        self._try([(prompt, self._sampling_params(Sampling(max_tokens=4), 0, {}))] * _WARM_UP_PROMPTS)
        self._structured = self._try_structured(prompt)

    def _try_structured(self, prompt: list[int]) -> bool:
        """Have an answer generated that follows a schema, then its second half as if it were resumed.

        False when the model cannot follow a schema. Raises when it can, but begins the second half with the
        beginning: vLLM has changed, or was started without our plugin, and answers would be corrupted.
        """
        from vllm.exceptions import VLLMValidationError

        sampling = Sampling(max_tokens=32, temperature=0.0)
        try:
            params = self._sampling_params(sampling, 0, _constraint(structured.TRIAL, 0))
            [(text, ids)] = self._try([(prompt, params)])
            half = ids[: len(ids) // 2]
            params = self._sampling_params(sampling, 0, _constraint(structured.TRIAL, len(half)))
            [(rest, _)] = self._try([(prompt + half, params)])
        except (VLLMValidationError, _TrialFailed) as error:
            text, reason = "", one_line(error)
        else:
            reason = repr(text)
        if text != structured.TRIAL_ANSWER:
            log.warning("%s has no structured outputs: %s", self._model.id, reason)
            return False
        resumed = self._engine.get_tokenizer().decode(half, skip_special_tokens=True) + rest
        if resumed != text:
            raise RuntimeError(
                f"vLLM began a resumed structured answer anew: {text} became {resumed}. "
                "Does VLLM_PLUGINS shut out the plugin infernet?"
            )
        return True

    def _try(self, trials: Sequence[tuple[list[int], Any]]) -> list[tuple[str, list[int]]]:
        """Generate for nobody: the text and the token ids for each prompt. Raises _TrialFailed."""
        from vllm.inputs import tokens_input

        answers: dict[str, tuple[str, list[int]]] = {}
        for number, (prompt, params) in enumerate(trials):
            answers[f"trial/{number}"] = ("", [])
            self._engine.add_request(f"trial/{number}", tokens_input(prompt), params)
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                completion = output.outputs[0]
                if completion.finish_reason not in (None, "stop", "length"):
                    raise _TrialFailed(f"vLLM finished it with {completion.finish_reason!r}")
                text, ids = answers[output.request_id]
                answers[output.request_id] = (text + completion.text, [*ids, *completion.token_ids])
        return list(answers.values())

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

    def _add(self, dispatch: Dispatch, prompt: list[int], constraint: dict[str, Any]) -> None:
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
                self._sampling_params(sampling, len(resumed), constraint),
            )
        except EngineDeadError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
            kind = type(error).__name__  # not the error itself: it may quote the prompt
            log.error("job %s: vLLM refused it (%s)", generation.job_id, kind)  # noqa: TRY400
            self._ready.append(generation.fail("engine_error", FAILED))
        else:
            self._generations[request_id] = generation

    def _sampling_params(self, sampling: Sampling, resumed: int, constraint: dict[str, Any]) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        # Stop strings are ours to find (HoldBack): vLLM's own buffer does not end where a token does.
        return SamplingParams(
            **self._recommended
            | {
                "max_tokens": sampling.max_tokens - resumed,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "seed": None if sampling.seed is None else sampling.seed + resumed,
                "output_kind": RequestOutputKind.DELTA,
            }
            | constraint
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

        self._watcher = Thread(target=watch, name="vllm-watch", daemon=True)
        self._watcher.start()

    def _shut(self) -> None:
        if self._engine is not None:
            self._engine.engine_core.shutdown(timeout=EXIT_TIMEOUT_S)
            self._engine = None
        _end(self._processes or self._started())
        if self._watcher is not None:  # it ends with the process that it watches
            self._watcher.join(EXIT_TIMEOUT_S)
        self._failures.close()
        self._sockets.cleanup()

    def _started(self) -> list[psutil.Process]:
        return [process for process in _children() if process not in self._others]


def _constraint(schema: str, resumed: int) -> dict[str, Any]:
    """The sampling parameters of an answer that follows `schema`; the prompt's last `resumed` tokens belong to it."""
    from vllm.sampling_params import StructuredOutputsParams

    return {
        "structured_outputs": StructuredOutputsParams(json=structured.grammar_schema(schema)),
        "extra_args": {structured.RESUMED: resumed},
    }


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
