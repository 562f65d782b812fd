"""Jobs: what a client submits, and what it is told."""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field, WithJsonSchema, field_validator
from typing_extensions import TypedDict

from api.http.bodies import INT64, AnyText, Count, JobIdText, NodeIdText, Request, Text, Time
from api.http.body_hash import LATER, body_hash
from api.http.sampling import SamplingFields
from cluster.clock import iso_utc
from cluster.ids import NodeId
from cluster.messages.marks import FinishReason
from cluster.messages.money import Usage
from cluster.messages.records import CompletedRecord, FailedRecord, JobRecord, PendingRecord, ProcessingRecord
from cluster.messages.work import Accepted, ChatMessage, Order, Priority, Role, Sampling

MAX_STOPS = 4
MAX_METADATA = 16

_TEXT = {"type": "string", "minLength": 1, "pattern": r"^[^\u0000]*$"}
_STOP: dict[str, Any] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": MAX_STOPS}], "default": []}


class Message(Request):
    """One turn of the dialogue."""

    role: Role
    content: AnyText


class JobRequest(SamplingFields):
    """A chat job. Fields that are unknown are ignored; null means the default."""

    model: Annotated[Text, Field(description="An id or alias of the catalogue")]
    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[Count, Field(description="Prompt and max_tokens have to fit the model's context")] = 512
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

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_string(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

    def order(self) -> Order:
        """Raises BadRequest for fields that contradict each other."""
        return Order(
            model=self.model,
            messages=tuple(ChatMessage(message.role, message.content) for message in self.messages),
            sampling=Sampling(
                self.max_tokens,
                self.temperature,
                self.top_p,
                tuple(self.stop),
                self.seed,
                **self.more_sampling(self.max_tokens),
            ),
            body_hash=body_hash(self),
            node_id=NodeId(self.node_id) if self.node_id else None,
            metadata=self.metadata,
            priority=self.priority,
        )


class JobAccepted(TypedDict):
    """A job that is durable, and will end."""

    id: JobIdText
    status: Literal["pending"]
    model: Annotated[str, Field(description="The catalogue's id, also where an alias was given")]
    created_at: Time


class TokenUsage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Result(TypedDict):
    content: str
    finish_reason: FinishReason
    usage: TokenUsage


class _Job(TypedDict):
    id: JobIdText
    model: str
    created_at: Time
    metadata: NotRequired[dict[str, str]]


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


def job_body(record: JobRecord) -> Job:
    """The job as it is now, with the keys of its state and no others."""
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
        "result": {
            "content": record.content,
            "finish_reason": record.finish_reason,
            "usage": usage_body(record.usage),
        },
        "completed_at": iso_utc(record.ended_ms),
        "latency_ms": max(0, record.ended_ms - record.created_ms),
    }


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
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
