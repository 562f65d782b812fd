"""What clients of OpenAI's API send, and what it asks for here."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.http.bodies import INT64, AnyText, Count, Request, Text, parse
from api.http.body_hash import Formerly, body_hash
from api.http.sampling import LogitBias, Penalty, SamplingFields
from api.jobs.schemas import MAX_METADATA
from api.openai.response_format import ResponseFormat, json_schema
from api.openai.unsupported import MustBe, Refused, UnsupportedFields
from cluster.errors import BadRequest
from cluster.messages.work import AS_CONTEXT_LEAVES, ChatMessage, Order, Role, Sampling

_TEXT = {"type": "string", "pattern": r"^[^\u0000]*$"}
_TEXT_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": _TEXT},
    "required": ["type", "text"],
}
_CONTENT = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT_PART, "minItems": 1}]}
_STOP_TEXT = _TEXT | {"minLength": 1}
_STOP = {"anyOf": [_STOP_TEXT, {"type": "array", "items": _STOP_TEXT}], "default": []}


def _joined(content: Any) -> Any:
    """A list of texts as one text, each on a line of its own."""
    return "\n".join(map(_text_of, content)) if isinstance(content, list) and content else content


def _text_of(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    if not isinstance(text, str):
        raise PydanticCustomError("content", "must be a text, or a list of parts of type text with a text each")
    return text


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ChatCompletionMessage(Request):
    """One turn of the dialogue: a text, or parts that are texts. `developer` means `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[AnyText, BeforeValidator(_joined), WithJsonSchema(_CONTENT)]
    audio: Refused = None
    function_call: Refused = None
    tool_calls: Annotated[Any, MustBe([])] = None

    def message(self) -> ChatMessage:
        role: Role = "system" if self.role == "developer" else self.role
        return ChatMessage(role, self.content)


class StreamOptions(Request):
    include_usage: Annotated[bool, Field(description="Tell the usage in a last chunk without choices")] = False


class ChatCompletionRequest(SamplingFields, UnsupportedFields):
    """A chat completion. What OpenAI's API has and this one has not is refused where it would change the answer."""

    model: Annotated[Text, Field(description="An id or alias of the catalogue")]
    messages: Annotated[list[ChatCompletionMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[
        Count | None, Field(description="As much as the context leaves without either; wins over max_tokens")
    ] = None
    max_tokens: Count | None = None
    temperature: Annotated[Annotated[float, Field(ge=0.0, le=2.0)] | None, Formerly(0.7)] = None
    top_p: Annotated[Annotated[float, Field(gt=0.0, le=1.0)] | None, Formerly(1.0)] = None
    presence_penalty: Annotated[Penalty, Formerly(None)] = 0.0
    frequency_penalty: Annotated[Penalty, Formerly(None)] = 0.0
    logit_bias: Annotated[LogitBias, Formerly(None)]
    stop: Annotated[list[Text], Field(default_factory=list), WithJsonSchema(_STOP)]
    seed: Annotated[int, Field(ge=-INT64 - 1, le=INT64)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    metadata: Annotated[dict[AnyText, AnyText], Field(default_factory=dict, max_length=MAX_METADATA)]

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, body: Any) -> Any:
        """JSON has one kind of number: to vLLM's own API, and so here, 512.0 is a whole one."""
        return {key: _whole(value) for key, value in body.items()} if isinstance(body, dict) else body

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_string(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    async def order(self) -> Order:
        """Raises BadRequest for a response format that cannot be used, and for fields that contradict each other."""
        max_tokens = self.max_completion_tokens or self.max_tokens or AS_CONTEXT_LEAVES
        return Order(
            model=self.model,
            messages=tuple(message.message() for message in self.messages),
            sampling=Sampling(
                max_tokens=max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                stop=tuple(self.stop),
                seed=self.seed,
                json_schema=await json_schema(self.response_format),
                **self.more_sampling(max_tokens),
            ),
            body_hash=body_hash(self),
            metadata=self.metadata,
        )


def parse_chat(body: bytes) -> ChatCompletionRequest:
    """Raises BadRequest, naming the first field that is wrong."""
    request = parse(ChatCompletionRequest, body)
    if request.stream_options is not None and not request.stream:
        raise BadRequest("stream_options: may only be given with stream: true")
    return request
