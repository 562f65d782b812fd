"""What every API lets a client say of how tokens are drawn, beyond temperature and the like: vLLM's fields.

Names, types and ranges are those of vLLM's own requests. What only a model's engine can judge, such as an id beyond its
vocabulary, ends the job with vLLM's words.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, JsonValue, field_validator, model_validator
from pydantic_core import PydanticCustomError

from api.http.bodies import INT64, Request, Text
from api.http.body_hash import LATER
from api.http.heeded import heeded
from cluster.errors import BadRequest
from cluster.messages.work import AS_CONTEXT_LEAVES

MAX_CHOICES = 128

_OWN_PREFIX = "infernet_"

Natural = Annotated[int, Field(ge=0, le=INT64)]
Number = str | int | float
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]
_TOKEN_IDS: dict[str, JsonValue] = {"propertyNames": {"pattern": "^[0-9]+$"}}
LogitBias = Annotated[
    dict[str, float],
    Field(default_factory=dict, description="By token id; cut to -100 to 100", json_schema_extra=_TOKEN_IDS),
]


class RepetitionDetection(Request):
    """A pattern of tokens that ends an answer once it has come so many times in a row."""

    max_pattern_size: Natural = 0
    min_pattern_size: Natural = 0
    min_count: Natural = 0


class SamplingFields(Request):
    """vLLM's sampling fields. What is left out is as the model's authors recommend it, or else asks for nothing."""

    presence_penalty: Annotated[Penalty, LATER] = 0.0
    frequency_penalty: Annotated[Penalty, LATER] = 0.0
    repetition_penalty: Annotated[Annotated[float, Field(gt=0.0)] | None, LATER] = None
    top_k: Annotated[
        Annotated[int, Field(ge=-1, le=INT64)] | None, LATER, Field(description="0 and -1: of all tokens")
    ] = None
    min_p: Annotated[Annotated[float, Field(ge=0.0, le=1.0)] | None, LATER] = None
    min_tokens: Annotated[Natural, Field(description="No stop before that many tokens"), LATER] = 0
    ignore_eos: Annotated[bool, LATER] = False
    stop_token_ids: Annotated[list[Natural], Field(default_factory=list), LATER]
    include_stop_str_in_output: Annotated[bool, LATER] = False
    skip_special_tokens: Annotated[bool, LATER] = True
    logit_bias: Annotated[LogitBias, LATER]
    allowed_token_ids: Annotated[list[Natural], Field(default_factory=list, min_length=1), LATER]
    bad_words: Annotated[list[Text], Field(default_factory=list), LATER]
    repetition_detection: Annotated[RepetitionDetection | None, LATER] = None
    n: Annotated[Annotated[int, Field(ge=1, le=MAX_CHOICES, description="How many answers")], LATER] = 1
    prompt_logprobs: Annotated[Annotated[int, Field(ge=-1, le=INT64)] | None, LATER] = None
    logprob_token_ids: Annotated[list[Natural], Field(default_factory=list), LATER]
    thinking_token_budget: Annotated[Annotated[int, Field(ge=-1, le=INT64)] | None, LATER] = None
    return_token_ids: Annotated[bool, LATER] = False
    return_tokens_as_token_ids: Annotated[bool, LATER] = False
    spaces_between_special_tokens: Annotated[bool, LATER] = True
    vllm_xargs: Annotated[
        dict[str, Number | list[Number]], Field(default_factory=dict, description="For plugins of vLLM's"), LATER
    ]

    @model_validator(mode="before")
    @classmethod
    def _heeded(cls, body: Any) -> Any:
        return heeded(body, cls.model_fields)

    @field_validator("logit_bias")
    @classmethod
    def _by_token_id(cls, biases: dict[str, float]) -> dict[str, float]:
        if not all(token_id.isascii() and token_id.isdecimal() for token_id in biases):
            raise PydanticCustomError("token_id", "must have token ids for its keys")
        return biases

    @field_validator("vllm_xargs")
    @classmethod
    def _none_of_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if any(name.startswith(_OWN_PREFIX) for name in extra):
            raise PydanticCustomError("own", f"must not have names that begin with {_OWN_PREFIX}")
        return extra

    def more_sampling(self, max_tokens: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """This, as fields of a `Sampling` that has these `max_tokens`. Of its `others` only what asks for something.

        `options` are others, from elsewhere in the request.

        Raises BadRequest where an answer may not be as long as it has to be.
        """
        if max_tokens != AS_CONTEXT_LEAVES and self.min_tokens > max_tokens:
            raise BadRequest(f"min_tokens: must not be more than max_tokens, which is {max_tokens}")
        return {name: getattr(self, name) for name in _TOLD_TO_ALL} | {"others": self._others() | dict(options)}

    def _others(self) -> dict[str, Any]:
        fields = SamplingFields.model_fields
        said = {name: getattr(self, name) for name in fields if name not in _TOLD_TO_ALL}
        return {
            name: value.model_dump() if isinstance(value, Request) else value
            for name, value in said.items()
            if value != fields[name].get_default(call_default_factory=True)
        }


_TOLD_TO_ALL = (
    "min_tokens",
    "include_stop_str_in_output",
    "skip_special_tokens",
    "n",
    "return_token_ids",
    "return_tokens_as_token_ids",
)

JUDGED = {
    "allowed_token_ids",
    "bad_words",
    "logit_bias",
    "logprob_token_ids",
    "repetition_detection",
    "stop_token_ids",
    "structured_outputs",
    "thinking_token_budget",
    "vllm_xargs",
}
"""Of the others those that only the model's engine can judge, whatever is checked here."""
