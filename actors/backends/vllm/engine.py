"""vLLM's engine: what a backend asks of it. `making.py` makes one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from threading import Thread
from typing import Any

from msgspec import Struct

from actors.backends.base import Adapted
from actors.backends.failures import one_line
from actors.backends.vllm import processes, structured
from actors.backends.vllm.adapter_files import AdapterFiles
from actors.backends.vllm.adapters import Adapters
from actors.backends.vllm.detokenizer import Detokenizer, make_detokenizer
from actors.backends.vllm.figures import Figures
from actors.backends.vllm.frontend import Frontend
from actors.backends.vllm.logprobs import LogprobTeller, prompt_logprobs
from actors.backends.vllm.pooling import PoolingFrontend
from actors.backends.vllm.sampling import constraint_params, sampling_params
from actors.backends.vllm.structured import Constraint
from cluster.catalogue import Adapter
from cluster.conversation import Conversation
from cluster.json_schemas import UnsupportedSchema
from cluster.measures.engine_times import Times
from cluster.messages.machines import EngineFigures
from cluster.messages.marks import FinishReason
from cluster.messages.work import ChatMessage, Sampling

_FINISH_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "repetition": "repetition"}


class Produced(Struct, frozen=True):
    """What one step produced for one request: tokens, and the text that each of them brought.

    `error` is how vLLM finished a request that it gave up. `finished`: vLLM is done with the request. It found
    `cached_tokens` of the prompt in its cache; of one that goes on, vLLM does not tell.
    `stop_reason` is the stop token that ended the answer. `logprobs` has an entry for each token, and
    `prompt_logprobs` is told once, where they are asked for; both are JSON.
    """

    request_id: str
    texts: tuple[str, ...]
    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None
    error: str | None
    finished: bool
    cached_tokens: int | None = None
    stop_reason: int | str | None = None
    logprobs: tuple[str, ...] = ()
    prompt_logprobs: str = ""


class Wanted(Struct, frozen=True):
    """An answer that is wanted of vLLM: to a prompt, after the tokens `resumed`, of which the detokenizer was told.

    `inputs` is the prompt as vLLM's renderer made it, where that is more than tokens. Of several, it is this `choice`.
    Where the answer is parsed, the model may think first: so many resumed tokens were free of the constraint, and all
    are while `thinks`. `teller` says how logprobs are told. It is wanted of this `adapter`, where it is not empty, the
    one of this number where there are several.
    """

    prompt: Sequence[int]
    sampling: Sampling
    resumed: Sequence[int] = ()
    constraint: Constraint | None = None
    detokenizer: Detokenizer | None = None
    inputs: Any = None
    choice: int = 0
    free_tokens: int = 0
    thinks: bool = False
    reasoning_kwargs: Mapping[str, Any] | None = None
    teller: LogprobTeller | None = None
    adapter: str = ""
    adapter_number: int = 0


class _Answer(Struct, frozen=True):
    """What tells an answer's text, whether what stops it is part of that, and whether another engine began it."""

    detokenizer: Detokenizer
    includes_stop: bool
    goes_on: bool
    teller: LogprobTeller | None
    lora: Any


class Pooled(Struct, frozen=True):
    """What a pooling model has made of one prompt: vLLM's own output."""

    request_id: str
    output: Any


class InvalidRequest(Exception):
    """vLLM does not take a request. The message says why, and may quote the prompt; `field` is wrong, if any."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field


class VllmEngine:
    """A running engine of vLLM's, used by one thread.

    A second one may call `tokenise`, `detokenizer`, `verify` and `verify_sampling`.
    """

    def __init__(
        self,
        engine: Any,
        conversation: Conversation,
        adapters: Adapters | None = None,
        figures: Figures | None = None,
    ) -> None:
        self._engine = engine
        self._conversation = conversation
        self._adapters = adapters or Adapters(engine)
        self._figures = figures
        self._recommended: dict[str, Any] = engine.model_config.get_diff_sampling_param()  # reads a file
        self._answers: dict[str, _Answer] = {}

    @property
    def batch_size(self) -> int:
        """How many requests it generates at once."""
        return int(self._engine.vllm_config.scheduler_config.max_num_seqs)

    @property
    def context_length(self) -> int:
        """The most tokens that prompt and answer have together."""
        return int(self._engine.model_config.max_model_len)

    @property
    def loaded_adapters(self) -> tuple[str, ...]:
        """The adapters that it has loaded, the one used last last. Asked from any thread."""
        return self._adapters.loaded

    @property
    def adapted(self) -> Adapted:
        """The adapters that it knows, and those that it has refused. Asked from any thread."""
        return self._adapters.adapted

    def know(self, adapter: Adapter, files: AdapterFiles) -> None:
        """Load this adapter. Raises AdapterRefused, and whatever says that vLLM is dead."""
        self._adapters.know(adapter, files)

    def refuse(self, adapter: Adapter, reason: str) -> None:
        """Tell of this adapter that it cannot be loaded."""
        self._adapters.refuse(adapter, reason)

    def keep_adapters(self, numbers: Collection[int]) -> None:
        """Know those of these numbers alone. What is being generated goes on with its own."""
        in_use = {answer.lora.lora_int_id for answer in self._answers.values() if answer.lora is not None}
        self._adapters.keep(numbers, in_use)

    @property
    def figures(self) -> EngineFigures | None:
        """What vLLM counts of itself; None where it has been told not to. Asked from any thread."""
        return None if self._figures is None else self._figures.tell(self.is_idle())

    @property
    def times(self) -> Times:
        """How long things took, as vLLM counts it of itself; nothing where it has been told not to."""
        return {} if self._figures is None else self._figures.times

    def begin_times(self) -> None:
        """What has been generated until now was to warm up, and is in no `times`."""
        if self._figures is not None:
            self._figures.begin_times()

    @property
    def block_tokens(self) -> int:
        """How many tokens are cached together; 0 where none are kept for other requests."""
        config = self._engine.vllm_config.cache_config
        return int(config.block_size) if config.enable_prefix_caching else 0

    @property
    def cache_tokens(self) -> int:
        """How many tokens the cache has room for, those of running requests among them."""
        config = self._engine.vllm_config.cache_config
        return int(config.kv_cache_size_tokens or (config.num_gpu_blocks or 0) * config.block_size)

    @cached_property
    def tokenizer(self) -> Any:
        return self._engine.get_tokenizer()

    @property
    def thinks(self) -> bool:
        """Whether the model may think before it answers: vLLM's grammars then wait for the end of that."""
        return bool(self._conversation.reasoning_parser)

    @cached_property
    def frontend(self) -> Frontend:
        """vLLM's own front end for it, used by the thread that renders."""
        return Frontend(self._engine, self._conversation)

    @property
    def pools(self) -> bool:
        """Whether vLLM finds its model to be a pooling one: it generates nothing."""
        return bool(self._engine.model_config.runner_type == "pooling")

    @cached_property
    def pooling(self) -> PoolingFrontend:
        """vLLM's own front end for a pooling model, used by the thread that renders."""
        return PoolingFrontend(self._engine, self._conversation)

    @cached_property
    def prompts_tell_time(self) -> bool:
        """Whether the chat template asks for the time: a dialogue rendered again may have another prompt."""
        of_model = str(getattr(self._engine.get_tokenizer(), "chat_template", None))
        return "strftime_now" in (self._conversation.chat_template or of_model)

    def tokenise(self, messages: Sequence[ChatMessage]) -> list[int]:
        """The token ids of a dialogue. Raises what the model's chat template raises."""
        from vllm.renderers.params import ChatParams, TokenizeParams

        told = self._conversation
        params = ChatParams(
            told.chat_template, told.content_format, {**told.template_kwargs, "add_generation_prompt": True}
        )
        dialogue = [{"role": message.role, "content": message.content} for message in messages]
        try:
            _, [prompt] = self._engine.renderer.render_chat([dialogue], params, TokenizeParams(max_total_tokens=None))
        except ValueError as error:
            raise error.__cause__ or error from None  # vLLM has the words of the cause alone
        return list(prompt["prompt_token_ids"])

    def detokenizer(self, prompt: Sequence[int], sampling: Sampling, skip_special_tokens: bool = True) -> Detokenizer:
        """What tells the text of an answer to this prompt: special tokens are skipped unless somebody wants them."""
        skipped = sampling.skip_special_tokens and skip_special_tokens
        return make_detokenizer(self._engine.get_tokenizer(), prompt, skipped)

    def verify(self, constraint: Constraint) -> None:
        """Raises UnsupportedSchema with what vLLM would say of a request with this constraint."""
        from vllm.exceptions import VLLMValidationError

        config = self._engine.vllm_config
        try:
            constraint_params(constraint).verify(
                config.model_config,
                config.speculative_config,
                config.structured_outputs_config,
                self._engine.get_tokenizer(),
            )
        except VLLMValidationError as error:
            raise UnsupportedSchema(structured.reason(error)) from error

    def verify_sampling(self, sampling: Sampling) -> None:
        """Raises InvalidRequest with what vLLM would say of these parameters, whatever the prompt."""
        from vllm.exceptions import VLLMValidationError

        try:
            params = sampling_params(sampling, 0, None, self._recommended, n=sampling.n)
            params.update_from_tokenizer(self._engine.get_tokenizer())
            self._engine.input_processor._validate_params(params, self._engine.get_supported_tasks())
        except VLLMValidationError as error:
            raise InvalidRequest(" ".join(str(error.args[0]).split()), error.parameter) from error

    def add(self, request_id: str, wanted: Wanted) -> None:
        """Begin a request. Raises AdapterRefused, InvalidRequest, and whatever else vLLM raises: `is_dead` tells
        whether more can be asked of it.
        """
        from vllm.exceptions import VLLMValidationError

        sampling, resumed = wanted.sampling, wanted.resumed
        lora = self._adapters.request(wanted.adapter, wanted.adapter_number)
        try:
            how = len(resumed), wanted.constraint, self._recommended, wanted.choice % sampling.n, wanted.free_tokens
            asked = self._request(request_id, wanted, sampling_params(sampling, *how), lora)
            self._engine.add_request(request_id, *asked, lora_request=lora)
        except VLLMValidationError as error:
            raise InvalidRequest(one_line(error)) from error
        self._answers[request_id] = _Answer(
            wanted.detokenizer or self.detokenizer([*wanted.prompt, *resumed], sampling),
            sampling.include_stop_str_in_output,
            goes_on=bool(resumed),
            teller=wanted.teller,
            lora=lora,
        )

    def pool(self, request_id: str, inputs: Any, params: Any) -> None:
        """Have numbers made of a prompt as vLLM's renderer made it. Raises as `add`."""
        from vllm.exceptions import VLLMValidationError

        try:
            self._engine.add_request(request_id, inputs, params)
        except VLLMValidationError as error:
            raise InvalidRequest(one_line(error)) from error

    def _request(self, request_id: str, wanted: Wanted, params: Any, lora: Any) -> tuple[Any, Any]:
        """What vLLM is given of a request, and its parameters."""
        from vllm.inputs import tokens_input

        token_ids = [*wanted.prompt, *wanted.resumed]
        inputs = tokens_input(token_ids)
        if wanted.inputs is not None:
            inputs = {**wanted.inputs, "prompt_token_ids": token_ids}
        if wanted.constraint is None or wanted.reasoning_kwargs is None:
            return inputs, params
        tasks = self._engine.get_supported_tasks()
        request = self._engine.input_processor.process_inputs(
            request_id, inputs, params, supported_tasks=tasks, lora_request=lora
        )
        request.reasoning_ended = not wanted.thinks
        request.reasoning_parser_kwargs = dict(wanted.reasoning_kwargs)
        return request, request.params

    def is_dead(self, error: Exception) -> bool:
        """Whether this error says that the engine cannot go on."""
        from vllm.v1.engine.exceptions import EngineDeadError

        return isinstance(error, EngineDeadError)

    def is_idle(self) -> bool:
        """Whether there is no request to generate for."""
        return not self._engine.has_unfinished_requests()

    def step(self) -> list[Produced]:
        """Generate the next tokens. Blocks until there are some."""
        return [self._produced(output) for output in self._engine.step()]

    def step_pooling(self) -> list[Pooled]:
        """What a pooling model makes of some of its prompts. Blocks until there is something."""
        return [Pooled(output.request_id, output) for output in self._engine.step()]

    def abort(self, request_ids: Sequence[str]) -> None:
        """Give up these requests: nothing more comes of them."""
        self._engine.abort_request(list(request_ids))
        for request_id in request_ids:
            self._answers.pop(request_id, None)

    def watch(self, killed: Callable[[Exception], None]) -> Thread | None:
        """As `processes.watch`."""
        return processes.watch(self._engine, killed)

    def shut_down(self) -> None:
        """Have vLLM end its processes, as well as it can."""
        if "frontend" in vars(self):  # it has been made
            self.frontend.close()
        self._engine.engine_core.shutdown(timeout=processes.EXIT_TIMEOUT_S)

    def _produced(self, output: Any) -> Produced:
        completion, answer = output.outputs[0], self._answers.get(output.request_id)
        reason = completion.finish_reason
        ordinary = _FINISH_REASONS.get(str(reason)) if reason is not None else None
        token_ids = tuple(completion.token_ids)
        if output.finished:
            self._answers.pop(output.request_id, None)
            self._adapters.use(None if answer is None else answer.lora)
        return Produced(
            request_id=output.request_id,
            texts=self._texts(answer, token_ids, stopped=reason == "stop"),
            token_ids=token_ids,
            finish_reason=ordinary,
            error=None if ordinary or reason is None else str(reason),
            finished=output.finished,
            cached_tokens=None if answer is None or answer.goes_on else output.num_cached_tokens,
            stop_reason=completion.stop_reason,
            **_logprobs(answer, token_ids, output),
        )

    def _texts(self, answer: _Answer | None, token_ids: Sequence[int], stopped: bool) -> tuple[str, ...]:
        """What each token brought. The one that ends the answer brings nothing, unless that was asked for."""
        if answer is None:  # aborted
            return ("",) * len(token_ids)
        if stopped and token_ids and not answer.includes_stop:
            return (*map(answer.detokenizer.text, token_ids[:-1]), "")
        return tuple(map(answer.detokenizer.text, token_ids))


def _logprobs(answer: _Answer | None, token_ids: Sequence[int], output: Any) -> dict[str, Any]:
    """What was asked for of the logprobs that came with these tokens."""
    if answer is None or answer.teller is None:
        return {}
    told = output.outputs[0].logprobs
    entries = [answer.teller.entry(*each) for each in zip(token_ids, told, strict=True)] if told else ()
    of_prompt = prompt_logprobs(output.prompt_logprobs) if output.prompt_logprobs and not answer.goes_on else ""
    return {"logprobs": tuple(entries), "prompt_logprobs": of_prompt}
