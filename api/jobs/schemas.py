"""Jobs: what a client submits, and what it is told."""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

import msgspec
from msgspec.structs import replace
from pydantic import Field, WithJsonSchema, field_validator, model_validator
from typing_extensions import TypedDict

from api.http.bodies import INT64, AnyText, Count, JobIdText, NodeIdText, Text, Time, field_refused
from api.http.body_hash import LATER, body_hash
from api.http.dialogue import DialogueFields, DialogueMessage, form_of
from api.openai.response_format import ResponseFormat, check_one_form, json_schema, structural_tag
from api.openai.unsupported import not_offered
from cluster.clock import iso_utc
from cluster.ids import NodeId
from cluster.messages.marks import FinishReason
from cluster.messages.money import Usage
from cluster.messages.records import CompletedRecord, FailedRecord, JobRecord, PendingRecord, ProcessingRecord
from cluster.messages.work import AS_CONTEXT_LEAVES, Accepted, Order, Priority, Sampling
from cluster.text.answers import Choice, choices, count_of

MAX_STOPS = 4
MAX_METADATA = 16

_TEXT = {"type": "string", "minLength": 1, "pattern": r"^[^\u0000]*$"}
_STOP: dict[str, Any] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": MAX_STOPS}], "default": []}


class JobRequest(DialogueFields):
    """A chat job. Fields that are unknown are ignored, unless they would mean something; null means the default."""

    model: Annotated[Text, Field(description="An id or alias of the catalogue")]
    messages: Annotated[list[DialogueMessage], Field(min_length=1)]
    max_tokens: Annotated[
        Count, Field(description="With the prompt within the model's context; unless set, 512 or what that leaves")
    ] = 512
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    stream: Annotated[bool, Field(description="Answer with the job's stream")] = False
    node_id: Annotated[Text | None, Field(description="The only node that may run the job")] = None
    stop: Annotated[list[Text], Field(max_length=MAX_STOPS), WithJsonSchema(_STOP)] = Field(default_factory=list)
    seed: Annotated[int, Field(ge=-INT64 - 1, le=INT64)] | None = None
    metadata: Annotated[dict[AnyText, AnyText], Field(max_length=MAX_METADATA, description="Comes back")] = Field(
        default_factory=dict
    )
    priority: Annotated[Priority, Field(description="Among the account's own jobs that wait"), LATER] = "normal"
    response_format: Annotated[ResponseFormat | None, LATER] = None
    webhook_url: Annotated[
        Text | None, Field(description="The URL of one of the account's webhooks, which is told of the end"), LATER
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _offered(cls, body: Any) -> Any:
        refused = not_offered(body) if isinstance(body, dict) else None
        if refused is not None and refused not in cls.model_fields:
            raise field_refused(refused, "is not offered here")
        return body

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_string(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

    async def order(self, body: bytes) -> Order:
        """This, sent as `body`.

        Raises BadRequest for a response format that cannot be used, and for fields that contradict each other.
        """
        check_one_form(self.structured_outputs, self.response_format)
        options = {**self.more_options(), **structural_tag(self.response_format)}
        said = "max_tokens" in self.model_fields_set
        max_tokens = self.max_tokens if said else AS_CONTEXT_LEAVES
        sampling = Sampling(
            max_tokens,
            self.temperature,
            self.top_p,
            tuple(self.stop),
            self.seed,
            json_schema=await json_schema(self.response_format),
            **self.more_sampling(max_tokens, options),
        )
        form, media = form_of(self, self.messages, body, sampling.others)
        return Order(
            model=self.model,
            messages=tuple(message.message() for message in self.messages),
            sampling=sampling,
            body_hash=body_hash(self),
            node_id=NodeId(self.node_id) if self.node_id else None,
            metadata=self.metadata,
            priority=self.priority,
            form=form,
            media=media,
            most_tokens=self.max_tokens,
            webhook_url=self.webhook_url,
        )


class JobAccepted(TypedDict):
    """A job that is durable, and will end."""

    id: JobIdText
    status: Literal["pending"]
    model: Annotated[str, Field(description="The catalogue's id, also where an alias was given")]
    created_at: Time


class PromptTokensDetails(TypedDict):
    cached_tokens: Annotated[int, Field(description="Found in the engine's cache")]


class CompletionTokensDetails(TypedDict):
    reasoning_tokens: int


class TokenUsage(TypedDict):
    """The details are there where they are known."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: NotRequired[PromptTokensDetails]
    completion_tokens_details: NotRequired[CompletionTokensDetails]


class FunctionCall(TypedDict):
    name: str
    arguments: Annotated[str, Field(description="JSON, as the model wrote it")]


class ToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: FunctionCall


class _Answered(TypedDict):
    content: str
    finish_reason: FinishReason
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]
    logprobs: NotRequired[Annotated[list[dict[str, Any]], Field(description="An entry for each token")]]
    token_ids: NotRequired[list[int]]


class ResultChoice(_Answered):
    """One of several answers. What it has nothing of is left out."""

    index: int


class Result(_Answered):
    """The answer, the first one of several. What it has nothing of is left out."""

    usage: TokenUsage
    choices: NotRequired[Annotated[list[ResultChoice], Field(description="All, where there are several")]]


class _Job(TypedDict):
    id: JobIdText
    model: str
    created_at: Time
    metadata: NotRequired[dict[str, str]]
    account_id: NotRequired[Annotated[str, Field(description="Whose it is, where several accounts' are asked for")]]
    key_id: NotRequired[Annotated[str, Field(description="The key that it was submitted with; told with the account")]]


class PendingJob(_Job):
    """A job that waits for an engine."""

    status: Literal["pending"]


class ProcessingJob(_Job):
    """A job that has been given to an engine."""

    status: Literal["processing"]
    node_id: NodeIdText


class CompletedJob(_Job):
    """A job that ended as it should."""

    status: Literal["completed"]
    node_id: NodeIdText
    result: Result
    completed_at: Time
    latency_ms: Annotated[int, Field(ge=0, description="From submission to end")]


class FailedJob(_Job):
    """A job that ended otherwise. What it had produced is in its stream."""

    status: Literal["failed"]
    error: str
    error_message: str
    node_id: NotRequired[NodeIdText]
    completed_at: NotRequired[Time]


Job: TypeAlias = Annotated[PendingJob | ProcessingJob | CompletedJob | FailedJob, Field(discriminator="status")]


class JobList(TypedDict):
    """Jobs, newest first."""

    jobs: list[Job]
    next_cursor: NotRequired[Annotated[str, Field(description="Only when more follow")]]


def accepted_body(accepted: Accepted) -> JobAccepted:
    return {
        "id": accepted.id,
        "status": "pending",
        "model": accepted.model,
        "created_at": iso_utc(accepted.created_ms),
    }


def job_body(record: JobRecord, with_owner: bool = False) -> Job:
    """The job as it is now, with the keys of its state and no others; with its account and key where asked."""
    body = _body(record)
    if with_owner:
        body["account_id"], body["key_id"] = record.account_id, record.key_id
    return body


def _body(record: JobRecord) -> Job:
    match record:
        case PendingRecord():
            return {**_common_body(record), "status": "pending"}
        case ProcessingRecord():
            return {**_common_body(record), "status": "processing", "node_id": record.node_id}
        case CompletedRecord():
            return _completed_body(record)
        case FailedRecord():
            return _failed_body(record)


def _common_body(record: JobRecord) -> _Job:
    body: _Job = {"id": record.id, "model": record.model, "created_at": iso_utc(record.created_ms)}
    if record.metadata:
        body["metadata"] = dict(record.metadata)
    return body


def _completed_body(record: CompletedRecord) -> CompletedJob:
    return {
        **_common_body(record),
        "status": "completed",
        "node_id": record.node_id,
        "result": _result(record),
        "completed_at": iso_utc(record.ended_ms),
        "latency_ms": max(0, record.ended_ms - record.created_ms),
    }


def _result(record: CompletedRecord) -> Result:
    answered = choices(record.content, record.marks, count_of(record.marks))
    first = answered[0]
    # That nothing was found in a cache is left out here, as all is that there is nothing of.
    usage = replace(record.usage, cached_tokens=record.usage.cached_tokens or None)
    body: Result = {
        "content": first.content or "",
        "finish_reason": record.finish_reason,
        "usage": usage_body(usage),
        **_more(first),  # type: ignore[typeddict-item]
    }
    if len(answered) > 1:
        body["choices"] = [_choice(choice, record.finish_reason) for choice in answered]
    return body


def _choice(choice: Choice, finish_reason: FinishReason) -> ResultChoice:
    reason = choice.stopped.finish_reason if choice.stopped else finish_reason
    return {"index": choice.index, "content": choice.content or "", "finish_reason": reason, **_more(choice)}  # type: ignore[typeddict-item]


def _more(choice: Choice) -> dict[str, Any]:
    """What few answers have."""
    more = {
        "reasoning": choice.reasoning,
        "tool_calls": tool_calls_body(choice),
        "logprobs": msgspec.json.decode(f"[{','.join(choice.logprobs)}]"),
        "token_ids": choice.token_ids,
    }
    return {name: value for name, value in more.items() if value}


def tool_calls_body(choice: Choice) -> list[ToolCall]:
    """The tools that this answer calls."""
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in choice.tool_calls
    ]


def _failed_body(record: FailedRecord) -> FailedJob:
    body: FailedJob = {
        "id": record.id,
        "model": record.model,
        "created_at": iso_utc(record.created_ms),
        "status": "failed",
        "error": record.error,
        "error_message": record.error_message,
    }
    if record.metadata:
        body["metadata"] = dict(record.metadata)
    if record.node_id is not None:
        body["node_id"] = record.node_id
    body["completed_at"] = iso_utc(record.ended_ms)
    return body


def usage_body(usage: Usage) -> TokenUsage:
    body: TokenUsage = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body
