"""Jobs as rows and rows as jobs. The keys of a written row are columns, except `job`: the id it is for."""

from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import RowMapping, select

from cluster.job_states import JobState
from cluster.measures.measures import Operation
from cluster.messages.marks import Mark
from cluster.messages.money import Rates, Usage
from cluster.messages.origin import UNKNOWN_ORIGIN, Origin
from cluster.messages.placements import Placed
from cluster.messages.records import CompletedRecord, FailedRecord, JobRecord, PendingRecord, ProcessingRecord
from cluster.messages.work import (
    ChatMessage,
    End,
    Ended,
    Failed,
    Finished,
    Form,
    FormKind,
    Job,
    OpenJob,
    Priority,
    Sampling,
)
from cluster.store.tables.jobs import JOBS

# Not the request: it can be long, and a record does not tell it.
RECORDS = select(*(column for column in JOBS.c if column.name != "request"))

NEW_COLUMNS = (
    "id",
    "account_id",
    "key_id",
    "model",
    "state",
    "request",
    "labels",
    "created_ms",
    "deadline_ms",
    "pin",
    "webhook_id",
    "prompt_rate",
    "completion_rate",
    "operation",
    "attempt",
)


class _Request(Struct, frozen=True):
    """What a job's row has no column for. `base` is its model where the column has its adapter's id."""

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    prompt_tokens: int | None = None
    priority: Priority = "normal"
    form: Form | None = None
    base: str = ""
    origin: Origin = UNKNOWN_ORIGIN
    adapter_number: int = 0


class _Details(Struct, frozen=True, omit_defaults=True):
    """What few ended jobs have."""

    marks: tuple[Mark, ...] = ()
    stop_reason: int | str | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


_NONE = _Details()

_OPERATIONS: dict[FormKind, Operation] = {
    "chat": "chat",
    "completion": "text_completion",
    "tokens": "text_completion",
    "embedding": "embeddings",
    "score": "score",
    "rerank": "rerank",
}


def new_row(job: Job) -> dict[str, Any]:
    """All of `NEW_COLUMNS`."""
    base = job.model if job.adapter else ""
    request = _Request(
        job.messages, job.sampling, job.prompt_tokens, job.priority, job.form, base, job.origin, job.adapter_number
    )
    return {
        "id": job.id,
        "account_id": job.account_id,
        "key_id": job.key_id,
        "model": job.asked_for,
        "state": JobState.PENDING.value,
        "request": msgspec.json.encode(request).decode(),
        "labels": msgspec.json.encode(job.metadata).decode(),
        "created_ms": job.created_ms,
        "deadline_ms": job.deadline_ms,
        "pin": job.node_id,
        "webhook_id": job.webhook_id,
        "prompt_rate": job.rates.prompt,
        "completion_rate": job.rates.completion,
        "operation": operation_of(job.form),
        "attempt": 0,
    }


def operation_of(form: Form | None) -> Operation:
    """What a job with this form asks for."""
    return "chat" if form is None else _OPERATIONS[form.kind]


def placed_row(placed: Placed) -> dict[str, Any]:
    return {
        "job": placed.job_id,
        "node_id": placed.node_id,
        "engine_id": placed.engine_id,
        "attempt": placed.attempt,
        "placed_ms": placed.placed_ms,
    }


def ended_row(ended: Ended) -> dict[str, Any]:
    return {
        "job": ended.job_id,
        "content": ended.content.encode(),
        "prompt_tokens": ended.end.usage.prompt_tokens,
        "completion_tokens": ended.end.usage.completion_tokens,
        "ended_ms": ended.ended_ms,
        "epoch": ended.epoch,
        "details": _details(ended),
        **_outcome(ended.end),
    }


def _details(ended: Ended) -> bytes | None:
    usage = ended.end.usage
    stop_reason = ended.end.stop_reason if isinstance(ended.end, Finished) else None
    details = _Details(ended.marks, stop_reason, usage.cached_tokens, usage.reasoning_tokens)
    return None if details == _NONE else msgspec.json.encode(details)


def _outcome(end: End) -> dict[str, str | None]:
    match end:
        case Finished(finish_reason=finish_reason):
            return {"finish_reason": finish_reason, "error": None, "error_message": None}
        case Failed(error=error, error_message=message):
            return {"finish_reason": None, "error": error, "error_message": message}


def record(row: RowMapping) -> JobRecord:
    common = {name: row[name] for name in ("id", "account_id", "key_id", "model", "created_ms")} | {
        "metadata": _labels(row)
    }
    match JobState(row["state"]):
        case JobState.PENDING:
            return PendingRecord(**common)
        case JobState.PROCESSING:
            return ProcessingRecord(**common, node_id=row["node_id"])
        case JobState.COMPLETED:
            details = _read_details(row)
            result = _result(row, details)
            return CompletedRecord(
                **common, **result, finish_reason=row["finish_reason"], stop_reason=details.stop_reason
            )
        case JobState.FAILED:
            result = _result(row, _read_details(row))
            return FailedRecord(**common, **result, error=row["error"], error_message=row["error_message"] or "")


def open_job(row: RowMapping) -> OpenJob:
    request = msgspec.json.decode(row["request"], type=_Request)
    job = Job(
        id=row["id"],
        account_id=row["account_id"],
        key_id=row["key_id"],
        model=request.base or row["model"],
        messages=request.messages,
        sampling=request.sampling,
        created_ms=row["created_ms"],
        deadline_ms=row["deadline_ms"],
        node_id=row["pin"],
        metadata=_labels(row),
        prompt_tokens=request.prompt_tokens,
        rates=Rates(row["prompt_rate"], row["completion_rate"]),
        priority=request.priority,
        form=request.form,
        adapter=row["model"] if request.base else "",
        webhook_id=row["webhook_id"],
        origin=request.origin,
        adapter_number=request.adapter_number,
    )
    return OpenJob(job, JobState(row["state"]), row["attempt"])


def _read_details(row: RowMapping) -> _Details:
    return _NONE if row["details"] is None else msgspec.json.decode(row["details"], type=_Details)


def _result(row: RowMapping, details: _Details) -> dict[str, Any]:
    """What an ended job has of its own, however it ended."""
    counted = row["prompt_tokens"], row["completion_tokens"]
    return {
        "node_id": row["node_id"],
        "content": row["content"].decode(),
        "usage": Usage(*counted, details.cached_tokens, details.reasoning_tokens),
        "ended_ms": row["ended_ms"],
        "epoch": row["epoch"],
        "marks": details.marks,
    }


def _labels(row: RowMapping) -> dict[str, str]:
    return msgspec.json.decode(row["labels"], type=dict[str, str])
