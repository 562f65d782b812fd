"""What clients of OpenAI's API send, and what it asks for here."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec.structs import replace
from pydantic import ConfigDict, Field, WithJsonSchema, field_validator, model_serializer

from api.http.bodies import INT64, AnyText, Count, ExactRequest, Text, parse
from api.http.body_hash import LATER, Formerly, body_hash
from api.http.dialogue import AnyMessage, DialogueFields, Object, form_of
from api.http.sampling import MAX_CHOICES, LogitBias, Penalty, SamplingFields
from api.jobs.schemas import MAX_METADATA
from api.openai.choices import Told
from api.openai.completions import ChunksWanted
from api.openai.response_format import ResponseFormat, check_one_form, json_schema, structural_tag
from api.openai.unsupported import Refused, UnsupportedFields
from cluster.errors import BadRequest
from cluster.messages.work import AS_CONTEXT_LEAVES, Order, Sampling

_STOP_TEXT = {"type": "string", "pattern": r"^[^\u0000]*$", "minLength": 1}
AS_VLLM_READS = ConfigDict(strict=False)
"""Numbers and truths may be texts, and whole numbers 512.0: so vLLM's own requests read them."""

STOP = {"anyOf": [_STOP_TEXT, {"type": "array", "items": _STOP_TEXT}], "default": []}


class ChatCompletionMessage(AnyMessage):
    """One turn of the dialogue. Which roles there are, the model's chat template says."""

    hashed = ("role", "content", "audio", "function_call", "tool_calls")

    audio: Refused = None
    function_call: Refused = None


class StreamOptions(ExactRequest):
    model_config = AS_VLLM_READS

    include_usage: Annotated[bool, Field(description="Tell the usage in a last chunk without choices")] = False
    continuous_usage_stats: Annotated[bool, Field(description="Tell the usage so far in every chunk")] = False

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, serialise: Any) -> Any:
        """Hashes of bodies are taken of this."""
        said = serialise(self)
        return {key: value for key, value in said.items() if value or key == "include_usage"}


class GeneratingRequest(SamplingFields):
    """What the requests for text of this layer have in common."""

    model_config = AS_VLLM_READS

    model: Annotated[Text | None, Field(description="An id or alias; needed where there are several")] = None
    stop: Annotated[list[Text], Field(default_factory=list), WithJsonSchema(STOP)]
    seed: Annotated[int, Field(ge=-INT64 - 1, le=INT64)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    metadata: Annotated[dict[AnyText, AnyText], Field(default_factory=dict, max_length=MAX_METADATA)]

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_string(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

    @property
    def options(self) -> StreamOptions:
        return self.stream_options or StreamOptions()

    def check_stream(self) -> None:
        """Raises BadRequest for what only a stream has, or no stream."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest("stream_options: may only be given with stream: true")
        if self.prompt_logprobs and self.stream:
            raise BadRequest("prompt_logprobs: are not told in a stream")

    async def sampling(
        self, max_tokens: int, temperature: float | None, top_p: float | None, options: Mapping[str, Any]
    ) -> Sampling:
        """How tokens are drawn; `options` are what the request says of it in fields of its own.

        Raises BadRequest for a response format that cannot be used, and for fields that contradict each other.
        """
        sampling = Sampling(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            stop=tuple(self.stop),
            seed=self.seed,
            json_schema=await json_schema(self.response_format),
            **self.more_sampling(max_tokens, {**options, **structural_tag(self.response_format)}),
        )
        if self.options.continuous_usage_stats:
            return replace(sampling, return_token_ids=True)  # they are counted as they come
        return sampling


class ChatCompletionRequest(GeneratingRequest, DialogueFields, UnsupportedFields):
    """A chat completion. What OpenAI's API has and this one has not is refused where it would change the answer."""

    model_config = AS_VLLM_READS  # of several bases, that of the last one counts

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
    tools: list[Object] | None = None
    tool_choice: str | Object | None = None
    reasoning_effort: str | None = None
    n: Annotated[Annotated[int, Field(ge=1, le=MAX_CHOICES)], Formerly(None)] = 1
    logprobs: Annotated[bool, Formerly(None)] = False
    top_logprobs: Annotated[int, Field(ge=-1, le=INT64)] | None = None
    stream_interval: Annotated[Count | None, LATER, Field(description="A hint: text comes as it is made")] = None

    def told(self) -> Told:
        """What the client is told of an answer besides its text."""
        role = "assistant" if self.add_generation_prompt else self.messages[-1].role
        forced = self.tool_choice not in (None, "none", "auto")
        return Told(role, self.return_token_ids, self.logprobs, forced, self.return_prompt_text)

    def chunks(self) -> ChunksWanted:
        """What the client wants of a stream."""
        return ChunksWanted(self.n, self.options.include_usage, self.options.continuous_usage_stats, self.told())

    async def order(self, body: bytes) -> Order:
        """This, sent as `body`.

        Raises BadRequest for a response format that cannot be used, and for fields that contradict each other.
        """
        max_tokens = self.max_completion_tokens or self.max_tokens or AS_CONTEXT_LEAVES
        sampling = await self.sampling(max_tokens, self.temperature, self.top_p, self.more_options())
        form, media = form_of(self, self.messages, body, sampling.others)
        return Order(
            model=self.model,
            messages=tuple(message.message() for message in self.messages),
            sampling=sampling,
            body_hash=body_hash(self),
            metadata=self.metadata,
            form=form,
            media=media,
        )


def parse_chat(body: bytes) -> ChatCompletionRequest:
    """Raises BadRequest, naming the first field that is wrong."""
    request = parse(ChatCompletionRequest, body)
    request.check_stream()
    check_one_form(request.structured_outputs, request.response_format)
    return request
