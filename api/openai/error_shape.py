"""Errors in OpenAI's own shape.

https://platform.openai.com/docs/guides/error-codes
"""

import re

from typing_extensions import TypedDict

from cluster.errors import (
    ContextLengthExceeded,
    EngineFailed,
    InfernetError,
    JobCancelled,
    JobTimeout,
    ModelNotFound,
    NoCapacity,
    NodeDisconnected,
)
from cluster.messages.work import Failed

_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
_STATUSES_OF_FAILED_JOBS = {
    ContextLengthExceeded.code: 400,
    JobCancelled.code: 409,
    EngineFailed.code: 500,
    NoCapacity.code: 503,
    NodeDisconnected.code: 503,
    JobTimeout.code: 504,
}
# OpenAI's clients repeat 409 and 5xx by themselves. These jobs have run, and been paid for, and would fail again.
_NOT_REPEATED = {JobCancelled.code, EngineFailed.code, JobTimeout.code}

_FIELD = re.compile(r"([A-Za-z][\w-]*(?:\[\d+\]|\.[\w-]+)*): ")


class OpenAIErrorDetail(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(TypedDict):
    """What went wrong. `param` is the field that is wrong."""

    error: OpenAIErrorDetail


def error_body(error: InfernetError) -> OpenAIError:
    return _body(error.status, error.code, error.message, _param(error))


def failure_body(end: Failed) -> OpenAIError:
    """What a job's failure looks like, in an answer of its own or in the middle of a stream."""
    return _body(failure_status(end), end.error, end.error_message)


def failure_status(end: Failed) -> int:
    return _STATUSES_OF_FAILED_JOBS.get(end.error, InfernetError.status)


def failure_headers(end: Failed) -> dict[str, str]:
    """Tells OpenAI's clients not to repeat by themselves what a repeat cannot help."""
    return {"X-Should-Retry": "false"} if end.error in _NOT_REPEATED else {}


def _body(status: int, code: str, message: str, param: str | None = None) -> OpenAIError:
    return {"error": {"message": message, "type": _type(status), "param": param, "code": code}}


def _type(status: int) -> str:
    return _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")


def _param(error: InfernetError) -> str | None:
    """The field that the message begins with, by the convention of this API's messages."""
    if isinstance(error, ModelNotFound):
        return "model"
    named = _FIELD.match(error.message) if error.status < 500 else None
    return named[1] if named else None
