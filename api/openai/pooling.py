"""What clients ask of pooling models, in OpenAI's, Cohere's and vLLM's form: embeddings, scores of pairs, an order.

The body goes to the model's engine as it was sent: vLLM's own front end reads and judges it.
"""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import Field, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from api.http.bodies import INT64, AnyText, Text, parse
from api.http.body_hash import body_hash
from api.http.dialogue import DialogueMessage
from api.http.heeded import HeededRequest
from api.openai.prompts import with_whole_numbers
from api.openai.unsupported import Hint, MustBe, Refused
from cluster.errors import BadRequest
from cluster.messages.work import NOTHING_GENERATED, Form, FormKind, Order, Sampling

MOST_INPUTS = 2048
"""Of one request: as many as OpenAI's API takes. A job is carried, kept and listed as a whole."""

_MOST_ID = 2**31 - 1
_TOKEN = {"type": "integer", "minimum": 0, "maximum": _MOST_ID}
_TEXT = {"type": "string", "pattern": r"^[^\u0000]*$"}


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": MOST_INPUTS}


_IDS = {"type": "array", "items": _TOKEN, "minItems": 1}
_INPUT = {"anyOf": [_TEXT, _list_of(_TEXT), _IDS, _list_of(_IDS), {"type": "null"}]}
_TEXTS = {"anyOf": [_TEXT, _list_of(_TEXT), {"type": "null"}]}


class PoolingRequest(HeededRequest):
    """The fields that all of them have. Others of vLLM's are passed on to it."""

    kind: ClassVar[FormKind]

    model: Annotated[Text | None, Field(description="An id or alias; needed where there are several")] = None
    truncate_prompt_tokens: Annotated[
        Annotated[int, Field(ge=-1, le=INT64)] | None, Field(description="Keep so many; -1: as many as fit")
    ] = None
    truncation_side: Literal["left", "right"] | None = None
    use_activation: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    cache_salt: AnyText | None = None
    mm_processor_kwargs: Refused = None
    padding: Annotated[Any, MustBe("do_not_pad")] = None
    priority: Hint = None
    user: Hint = None
    request_id: Hint = None

    @property
    def prompts(self) -> int:
        """How many prompts it asks of the model, or pairs of texts."""
        raise NotImplementedError

    def order(self, body: bytes) -> Order:
        """This, sent as `body`. Raises BadRequest where it asks too much of one job."""
        if self.prompts > MOST_INPUTS:
            raise BadRequest(f"{self.inputs}: must not be more than {MOST_INPUTS}")
        sent: dict[str, Any] = msgspec.json.decode(body)
        said = {name: value for name, value in sent.items() if value is not None and name not in _TOLD_HERE}
        return Order(
            model=self.model,
            messages=(),
            sampling=Sampling(max_tokens=NOTHING_GENERATED),
            body_hash=body_hash(self),
            form=Form(self.kind, msgspec.json.encode(said).decode(), self.inputs, max(1, self.prompts)),
        )

    @property
    def inputs(self) -> str:
        """The field that has what it asks about."""
        raise NotImplementedError


_TOLD_HERE = ("model", "user", "request_id", "priority", "padding", "encoding_format", "endianness", "embed_dtype")
"""Fields that say how the answer is written, or nothing here."""


class EmbeddingRequest(PoolingRequest):
    """Either `input`, texts or token ids, or the `messages` of a dialogue, which the model's chat template renders."""

    kind = "embedding"

    input: Annotated[Any, WithJsonSchema(_INPUT)] = None
    messages: Annotated[list[DialogueMessage], Field(min_length=1)] | None = None
    encoding_format: Literal["float", "base64"] = "float"
    embed_dtype: Annotated[Any, MustBe("float32")] = None
    endianness: Literal["native", "little", "big"] = "native"
    dimensions: Annotated[int, Field(ge=1, le=INT64)] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool = False
    continue_final_message: bool = False
    chat_template: Refused = None

    @field_validator("input")
    @classmethod
    def _texts_or_tokens(cls, asked: Any) -> Any:
        given = with_whole_numbers(asked)
        if given is None or _is_text(given) or _all(given, _is_text) or _is_ids(given) or _all(given, _is_ids):
            return given
        raise PydanticCustomError("input", "must be a text, a list of texts, token ids, or a list of them")

    @property
    def prompts(self) -> int:
        return len(self.input) if _all(self.input, _is_text) or _all(self.input, _is_ids) else 1

    @property
    def inputs(self) -> str:
        return "input"


class ScoreRequest(PoolingRequest):
    """How alike texts are: one with each of several, or several with as many others.

    vLLM has four pairs of names for them, of which one is to be used.
    """

    kind = "score"

    text_1: Annotated[Any, WithJsonSchema(_TEXTS)] = None
    text_2: Annotated[Any, WithJsonSchema(_TEXTS)] = None
    queries: Annotated[Any, WithJsonSchema(_TEXTS)] = None
    documents: Annotated[Any, WithJsonSchema(_TEXTS)] = None
    items: Annotated[Any, WithJsonSchema(_TEXTS)] = None
    data_1: Annotated[Any, WithJsonSchema(_TEXTS)] = None
    data_2: Annotated[Any, WithJsonSchema(_TEXTS)] = None
    max_tokens_per_query: Annotated[int, Field(ge=0, le=INT64)] = 0
    max_tokens_per_doc: Annotated[int, Field(ge=0, le=INT64)] = 0
    instruction: AnyText | None = None

    @field_validator("text_1", "text_2", "queries", "documents", "items", "data_1", "data_2")
    @classmethod
    def _texts(cls, given: Any) -> Any:
        return _texts(given)

    @property
    def prompts(self) -> int:
        given = (self.text_1, self.text_2, self.queries, self.documents, self.items, self.data_1, self.data_2)
        return max(len(texts) if isinstance(texts, list) else 1 for texts in given)

    @property
    def inputs(self) -> str:
        named = ("text_2", "documents", "items", "data_2")
        return next((name for name in named if getattr(self, name) is not None), "text_2")


class RerankRequest(PoolingRequest):
    """Documents in the order of what they have to do with a query, the first the most."""

    kind = "rerank"

    query: AnyText
    documents: Annotated[Any, WithJsonSchema({"anyOf": _TEXTS["anyOf"][:2]})]
    top_n: Annotated[int, Field(ge=0, le=INT64, description="Tell so many; 0: all")] = 0
    max_tokens_per_query: Annotated[int, Field(ge=0, le=INT64)] = 0
    max_tokens_per_doc: Annotated[int, Field(ge=0, le=INT64)] = 0
    instruction: AnyText | None = None

    @field_validator("documents")
    @classmethod
    def _texts(cls, given: Any) -> Any:
        return _texts(given)

    @property
    def texts(self) -> list[str]:
        return self.documents if isinstance(self.documents, list) else [self.documents]

    @property
    def prompts(self) -> int:
        return len(self.texts)

    @property
    def inputs(self) -> str:
        return "documents"


def parse_embedding(body: bytes) -> EmbeddingRequest:
    """Raises BadRequest, naming the first field that is wrong."""
    request = parse(EmbeddingRequest, body)
    if (request.input is None) == (request.messages is None):
        raise BadRequest("input: either this or messages is required")
    if any(isinstance(message.content, list) and message.text is None for message in request.messages or ()):
        raise BadRequest("messages: only texts are offered here")
    return request


def parse_score(body: bytes) -> ScoreRequest:
    """Raises BadRequest, naming the first field that is wrong."""
    request = parse(ScoreRequest, body)
    pairs = [
        (request.text_1, request.text_2),
        (request.queries, request.documents),
        (request.queries, request.items),
        (request.data_1, request.data_2),
    ]
    if not any(first is not None and second is not None for first, second in pairs):
        raise BadRequest("text_1: is required, and text_2")
    return request


def parse_rerank(body: bytes) -> RerankRequest:
    """Raises BadRequest, naming the first field that is wrong."""
    return parse(RerankRequest, body)


def _texts(given: Any) -> Any:
    if given is None or _is_text(given) or _all(given, _is_text):
        return given
    raise PydanticCustomError("texts", "must be a text, or a list of texts")


def _is_text(given: Any) -> bool:
    return isinstance(given, str) and "\0" not in given


def _is_ids(given: Any) -> bool:
    return _all(given, _is_id)


def _is_id(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= _MOST_ID


def _all(given: Any, kind: Any) -> bool:
    """Whether it is a list, not empty, of nothing else."""
    return isinstance(given, list) and bool(given) and all(map(kind, given))
