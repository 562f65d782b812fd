"""vLLM's own front end for pooling models: its requests, and how it makes prompts of them and answers of vectors.

Like `frontend.py` this is of vLLM 0.29 and no stable interface. vLLM is imported when the first is made.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from actors.backends.vllm.frontend import RequestRefused, reason, validation_reason
from cluster.conversation import Conversation
from cluster.messages.work import Form, FormKind

MOST_ANSWER_BYTES = 4 << 20
"""Of one job. An answer goes through engine, Journal and database as a whole, and lists of jobs have a hundred."""

_NAMES: Mapping[FormKind, str] = {"embedding": "Embeddings", "score": "Score", "rerank": "Rerank (Score)"}


class NotNumbers(Exception):
    """The model has answered with something that is no number."""


class PooledAnswer(Struct, frozen=True):
    """What a job of a pooling model is told, as its text.

    `vectors` are embeddings as base64 of their numbers, 32 bits each, the lowest byte first; `scores` those of pairs.
    """

    vectors: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()


class AskedToPool(Struct, frozen=True):
    """A request as vLLM's server would hand it to its engine: prompts with their parameters, and its context.

    `tokens` is what its usage will be. A query is counted with each of its documents, as vLLM counts it.
    """

    inputs: tuple[tuple[Any, Any], ...]
    tokens: int
    processor: Any
    context: Any
    kind: FormKind

    def answer(self, outputs: Sequence[Any]) -> str:
        """The job's text, of what vLLM made of each of the inputs. Raises NotNumbers."""
        from vllm.outputs import ScoringRequestOutput

        self.context.final_res_batch = list(outputs)
        self.processor.post_process_online(self.context)
        made = self.context.final_res_batch
        if self.kind == "embedding":
            answer = PooledAnswer(vectors=tuple(_vector(each.outputs.data) for each in made))
        else:
            answer = PooledAnswer(
                scores=tuple(float(ScoringRequestOutput.from_base(each).outputs.score) for each in made)
            )
        if not all(map(math.isfinite, answer.scores)):
            raise NotNumbers
        return msgspec.json.encode(answer).decode()


class PoolingFrontend:
    """The front end of one engine, used by one thread."""

    def __init__(self, engine: Any, conversation: Conversation) -> None:
        from vllm.entrypoints.chat_utils import ChatTemplateConfig
        from vllm.entrypoints.pooling.factories import init_pooling_io_processors

        self._model_config = engine.model_config
        self._process = partial(engine.input_processor.process_inputs, supported_tasks=engine.get_supported_tasks())
        templates = ChatTemplateConfig(
            chat_template=conversation.chat_template or None,
            chat_template_content_format=conversation.content_format,
            trust_request_chat_template=False,
        )
        tasks = engine.get_supported_tasks()
        processors = init_pooling_io_processors(tasks, engine.vllm_config, engine.renderer, templates)
        self._embeds = processors.get("embed")
        scoring = ("bi-encoder", "cross-encoder", "late-interaction")
        self._scores = next((processors[name] for name in scoring if name in processors), None)

    def ask(self, form: Form) -> AskedToPool:
        """What this form asks. Raises RequestRefused with vLLM's reason."""
        from vllm.exceptions import VLLMValidationError

        processor = self._embeds if form.kind == "embedding" else self._scores
        if processor is None:
            raise RequestRefused(f"The model does not support {_NAMES[form.kind]} API")
        try:
            asked = self._ask(processor, form)
            for inputs, params in asked.inputs:
                self._process("check", inputs, params)  # as when it is given to vLLM: what may not be read is refused
        except (VLLMValidationError, ValueError, TypeError, NotImplementedError) as error:
            raise RequestRefused(reason(error)) from error
        if (told := self._answer_bytes(asked)) > MOST_ANSWER_BYTES:
            raise RequestRefused(
                f"input: its embeddings would have {told} bytes, and a job may have {MOST_ANSWER_BYTES}: "
                "ask for fewer at once"
            )
        return asked

    def trial(self) -> tuple[Any, Any]:
        """A short prompt for any pooling model, and its parameters. Raises RuntimeError where there are none for us."""
        from vllm import PoolingParams
        from vllm.inputs import tokens_input

        if self._embeds is None and self._scores is None:
            raise RuntimeError("vLLM has neither embeddings nor scores of this model")
        params = PoolingParams(task="embed" if self._scores is None else self._scores.pooling_task)
        params.verify(self._model_config)
        return tokens_input([1]), params

    def _ask(self, processor: Any, form: Form) -> AskedToPool:
        from vllm.entrypoints.pooling.typing import PoolingServeContext

        request = _request(form)
        limit = request.truncate_prompt_tokens
        if limit is not None and limit > self._model_config.max_model_len:
            raise RequestRefused(
                "truncate_prompt_tokens value is greater than max_model_len. Please request a smaller truncation size."
            )
        params = processor.create_pooling_params(request)
        params.verify(self._model_config)
        extras = ("mm_processor_kwargs", "cache_salt", "chat_template_kwargs")
        context = PoolingServeContext(
            request=request,
            model_name="",
            pooling_params=params,
            request_id=request.request_id,
            lora_request=None,
            priorities=0,
            prompt_extras={key: value for key in extras if (value := getattr(request, key, None)) is not None},
        )
        rendered = [processor.render(each) for each in processor.get_request_factory_online(context)]
        if not rendered:
            raise RequestRefused("You must pass at least one prompt")
        context.engine_inputs = rendered
        lengths = [len(each["prompts"]["prompt_token_ids"]) for each in rendered]
        if form.kind == "embedding":
            processor.maybe_pre_process_chunked(context)
        return AskedToPool(
            tuple((each["prompts"], each["params"]) for each in context.engine_inputs),
            _counted(lengths, context.n_queries, processor),
            processor,
            context,
            form.kind,
        )

    def _answer_bytes(self, asked: AskedToPool) -> int:
        """How long the text of an answer of vectors will be, about."""
        if asked.kind != "embedding":
            return 0
        numbers = asked.context.pooling_params.dimensions or self._model_config.embedding_size
        vectors = len(asked.context.original_engine_inputs or asked.inputs)
        return int(vectors * (len(base64.b64encode(bytes(4 * numbers))) + 3))


def _request(form: Form) -> Any:
    """vLLM's own request of a form's body. Raises RequestRefused."""
    from pydantic import TypeAdapter, ValidationError
    from vllm.entrypoints.pooling.embed.protocol import EmbeddingRequest
    from vllm.entrypoints.pooling.scoring.protocol import RerankRequest, ScoreRequest

    kinds: Mapping[str, Any] = {"embedding": EmbeddingRequest, "score": ScoreRequest, "rerank": RerankRequest}
    try:
        return TypeAdapter(kinds[form.kind]).validate_python(msgspec.json.decode(form.body))
    except ValidationError as error:
        raise RequestRefused(validation_reason(error)) from error


def _counted(lengths: Sequence[int], queries: int | None, processor: Any) -> int:
    """The tokens of prompts of these lengths, where so many of the first are queries of the others."""
    if queries is None:
        return sum(lengths)
    documents = lengths[queries:]
    asked = list(lengths[:queries]) * (len(documents) if queries == 1 else 1)
    between = 0 if processor.pad_token_id is None else 1
    return sum(query + between + document for query, document in zip(asked, documents, strict=True))


def _vector(numbers: Any) -> str:
    """Raises NotNumbers."""
    vector = numbers.float().cpu()
    if not vector.isfinite().all():
        raise NotNumbers
    return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()
