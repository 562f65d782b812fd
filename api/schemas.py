"""Bodies of requests and answers, and the way from and to the messages of the control plane."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cluster.clock import iso_utc
from cluster.errors import BadRequest, InfernetError
from cluster.ids import JobId, NodeId
from cluster.messages import ChatMessage, Job, JobRecord, ModelView, NodeView, Principal, Sampling

_INT64 = 2**63 - 1


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    return text


AnyText = Annotated[str, AfterValidator(_without_nul)]
Text = Annotated[AnyText, Field(min_length=1)]


class _Request(BaseModel):
    """Types are strict, unknown fields are ignored, and null means the default."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {key: value for key, value in body.items() if value is not None}


class MessageRequest(_Request):
    role: Literal["system", "user", "assistant"]
    content: AnyText


class JobRequest(_Request):
    """POST /jobs."""

    model: Text
    messages: Annotated[list[MessageRequest], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1, le=_INT64)] = 512
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.7
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    stream: bool = False
    node_id: Text | None = None
    stop: Annotated[list[Text], Field(max_length=4)] = []
    seed: Annotated[int, Field(ge=-_INT64 - 1, le=_INT64)] | None = None
    metadata: Annotated[dict[AnyText, AnyText], Field(max_length=16)] = {}

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_string(cls, stop: Any) -> Any:
        return [stop] if isinstance(stop, str) else stop

    def job(self, job_id: JobId, model: str, principal: Principal, created_ms: int, deadline_ms: int) -> Job:
        return Job(
            id=job_id,
            account_id=principal.account_id,
            key_id=principal.key_id,
            model=model,
            messages=tuple(ChatMessage(message.role, message.content) for message in self.messages),
            sampling=Sampling(self.max_tokens, self.temperature, self.top_p, tuple(self.stop), self.seed),
            created_ms=created_ms,
            deadline_ms=deadline_ms,
            node_id=NodeId(self.node_id) if self.node_id else None,
            metadata=self.metadata,
        )


def parse_job(body: bytes) -> JobRequest:
    """Raises BadRequest, naming the first field that is wrong."""
    try:
        return JobRequest.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(_first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        return "Request body is not valid JSON"
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    return f"{field.removeprefix('.') or 'Request body'}: {problem['msg']}"


def error_body(error: InfernetError) -> dict[str, str]:
    return {"error": error.code, "error_message": error.message}


def accepted_body(job: Job) -> dict[str, Any]:
    return {"id": job.id, "status": "pending", "model": job.model, "created_at": iso_utc(job.created_ms)}


def job_body(record: JobRecord) -> dict[str, Any]:
    """Absent keys are absent, never null."""
    body: dict[str, Any] = {
        "id": record.id,
        "status": record.status.value,
        "model": record.model,
        "node_id": record.node_id,
        "result": _result_body(record),
        "error": record.error,
        "error_message": record.error_message,
        "metadata": dict(record.metadata) or None,
        "created_at": iso_utc(record.created_ms),
    }
    if record.ended_ms is not None:
        body["completed_at"] = iso_utc(record.ended_ms)
        if record.error is None:
            body["latency_ms"] = record.ended_ms - record.created_ms
    return {key: value for key, value in body.items() if value is not None}


def _result_body(record: JobRecord) -> dict[str, Any] | None:
    if record.finish_reason is None or record.usage is None:
        return None
    usage = record.usage
    return {
        "content": record.content or "",
        "finish_reason": record.finish_reason,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }


def model_body(view: ModelView, tokens_per_second: int) -> dict[str, Any]:
    return {"id": view.id, "nodes": view.nodes, "avg_tokens_per_second": tokens_per_second}


def catalogue_body(view: ModelView, tokens_per_second: int) -> dict[str, Any]:
    """A model with what `?all=true` adds."""
    body = model_body(view, tokens_per_second) | {
        "state": view.state,
        "replicas": view.replicas,
        "queued": view.queued,
    }
    if view.context_length:
        body["context_length"] = view.context_length
    if view.message:
        body["state_message"] = view.message
    return body


def node_body(view: NodeView) -> dict[str, Any]:
    hardware = view.hardware
    return {
        "id": view.id,
        "status": view.status,
        "last_heartbeat": iso_utc(view.last_heartbeat_ms),
        "hostname": hardware.hostname,
        "cpus": hardware.cpus,
        "memory_bytes": hardware.memory_bytes,
        "gpus": [{"name": gpu.name, "memory_bytes": gpu.memory_bytes} for gpu in hardware.gpus],
        "models": sorted({engine.model for engine in view.engines if engine.state == "ready"}),
        "engines": [
            {"id": engine.id, "model": engine.model, "state": engine.state, "running": len(engine.running)}
            for engine in view.engines
        ],
    }
