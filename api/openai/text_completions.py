"""Completions as clients of OpenAI's API ask for them, and what they ask for here."""

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, field_validator

from api.http.bodies import INT64, AnyText, parse
from api.http.body_hash import LATER, body_hash
from api.openai.prompts import Prompts, number_of_prompts
from api.openai.requests import GeneratingRequest
from api.openai.text_answers import TextWanted
from api.openai.unsupported import Hint, MustBe, Refused
from cluster.errors import BadRequest
from cluster.messages.work import Form, Order


class CompletionRequest(GeneratingRequest):
    """A completion of one or several prompts, each for itself. vLLM's front end says what they become, and refuses."""

    prompt: Prompts
    max_tokens: Annotated[int, Field(ge=0, le=INT64, description="0 only with echo: the prompt alone")] = 16
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    logprobs: Annotated[int, Field(ge=-1, le=INT64)] | None = None
    echo: Annotated[bool, Field(description="The answer begins with the prompt")] = False
    structured_outputs: dict[str, Any] | None = None
    add_special_tokens: bool = True
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=INT64)] | None = None
    truncation_side: Literal["left", "right"] | None = None
    cache_salt: Annotated[AnyText, Field(min_length=1, max_length=1024)] | None = None
    suffix: Refused = None
    prompt_embeds: Refused = None
    use_beam_search: Annotated[Any, MustBe(False)] = None
    priority: Hint = None
    kv_transfer_params: Refused = None
    ec_transfer_params: Refused = None
    length_penalty: Annotated[Any, MustBe(1.0), LATER] = None
    return_token_offsets: Annotated[Any, MustBe(False), LATER] = None
    routed_experts_prompt_start: Annotated[Any, MustBe(0), LATER] = None
    stream_interval: Annotated[Hint, LATER] = None

    @field_validator("logprobs", mode="before")
    @classmethod
    def _one_if_true(cls, logprobs: Any) -> Any:
        return int(logprobs) if isinstance(logprobs, bool) else logprobs

    @property
    def prompts(self) -> int:
        return number_of_prompts(self.prompt)

    def wanted(self) -> TextWanted:
        """What the client wants to be told."""
        return TextWanted(
            prompts=self.prompts,
            n=self.n,
            echo=self.echo,
            generates=self.max_tokens > 0,
            logprobs=self.logprobs,
            all_logprobs=bool(self.logprob_token_ids),
            token_ids=self.return_token_ids,
            by_id=self.return_tokens_as_token_ids,
            usage=self.options.include_usage,
            continuous_usage=self.options.include_usage and self.options.continuous_usage_stats,
        )

    async def order(self, body: bytes) -> Order:
        """This, sent as `body`.

        Raises BadRequest for a response format that cannot be used, and for fields that contradict each other.
        """
        max_tokens = max(1, self.max_tokens)
        sampling = await self.sampling(max_tokens, self.temperature, self.top_p, self._more_options())
        return Order(
            model=self.model,
            messages=(),
            sampling=sampling,
            body_hash=body_hash(self),
            metadata=self.metadata,
            form=Form("completion", _judged(body), "prompt", self.prompts),
        )

    def _more_options(self) -> dict[str, Any]:
        """What is said here of how tokens are drawn, by the names of vLLM's `SamplingParams`."""
        options: dict[str, Any] = {}
        if self.logprobs is not None and not self.logprob_token_ids:
            options["logprobs"] = self.logprobs
        if self.logprobs is not None and self.echo and self.prompt_logprobs is None:
            options["prompt_logprobs"] = self.logprobs
        if self.structured_outputs is not None:
            options["structured_outputs"] = self.structured_outputs
        return options


_JUDGED = (
    "prompt",
    "max_tokens",
    "echo",
    "logprobs",
    "prompt_logprobs",
    "logprob_token_ids",
    "return_token_ids",
    "add_special_tokens",
    "truncate_prompt_tokens",
    "truncation_side",
    "cache_salt",
    "structured_outputs",
    "response_format",
)


def _judged(body: bytes) -> str:
    """What vLLM's front end is to read of a body, as JSON."""
    sent: dict[str, Any] = msgspec.json.decode(body)
    return msgspec.json.encode({name: sent[name] for name in _JUDGED if sent.get(name) is not None}).decode()


def parse_completion(body: bytes) -> CompletionRequest:
    """Raises BadRequest, naming the first field that is wrong."""
    request = parse(CompletionRequest, body)
    request.check_stream()
    if request.max_tokens == 0 and not request.echo:
        raise BadRequest("max_tokens: must be at least 1 without echo")
    if request.logprob_token_ids and request.logprobs is None:
        raise BadRequest("logprob_token_ids: when using these, logprobs must be set")
    return request
