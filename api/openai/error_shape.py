"""Errors in OpenAI's own shape.

https://platform.openai.com/docs/guides/error-codes
"""

import re

from typing_extensions import TypedDict

from api.http.answers import RETRY_AFTER_S, ErrorShape
from cluster.errors import (
    Conflict,
    ContextLengthExceeded,
    EngineFailed,
    InfernetError,
    InternalError,
    JobCancelled,
    JobNotFound,
    JobTimeout,
    ModelNotFound,
    NoCapacity,
    NodeDisconnected,
    StreamLost,
)
from cluster.messages.work import Failed
from cluster.overflow import OVERFLOW

_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
_CODES = {
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "budget_exceeded": "insufficient_quota",
}
"""What OpenAI calls what has these codes here. Programs go by them; the others are called the same."""

_STATUSES_OF_FAILED_JOBS: dict[type[InfernetError], int] = {
    ContextLengthExceeded: ContextLengthExceeded.status,
    JobCancelled: Conflict.status,
    JobNotFound: JobNotFound.status,  # it has been removed
    EngineFailed: InternalError.status,
    NoCapacity: NoCapacity.status,
    NodeDisconnected: NoCapacity.status,
    JobTimeout: 504,
    StreamLost: InternalError.status,
}
_KINDS = {kind.code: kind for kind in _STATUSES_OF_FAILED_JOBS}

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
    return _body(error.status, error.code, _message(error), _param(error))


def error_headers(error: InfernetError) -> dict[str, str]:
    """Tells OpenAI's clients not to repeat by themselves what a repeat cannot help."""
    return _no_repeat(error.status, type(error))


def failure_body(end: Failed) -> OpenAIError:
    """What a job's failure looks like, in an answer of its own or in the middle of a stream."""
    return _body(failure_status(end), end.error, end.error_message)


def failure_status(end: Failed) -> int:
    return _STATUSES_OF_FAILED_JOBS.get(_kind(end), InternalError.status)


def failure_headers(end: Failed) -> dict[str, str]:
    """As `error_headers`, of a job that has failed. A 503 says when to come again, as every other does."""
    status = failure_status(end)
    again = {"Retry-After": str(RETRY_AFTER_S)} if status == NoCapacity.status else {}
    return again | _no_repeat(status, _kind(end))


def _kind(end: Failed) -> type[InfernetError]:
    return _KINDS.get(end.error, InternalError)


def _no_repeat(status: int, kind: type[InfernetError]) -> dict[str, str]:
    # OpenAI's clients repeat these statuses by themselves.
    repeated = status == Conflict.status or status >= InternalError.status
    return {"X-Should-Retry": "false"} if repeated and not kind.retryable else {}


def _body(status: int, code: str, message: str, param: str | None = None) -> OpenAIError:
    return {"error": {"message": message, "type": _type(status), "param": param, "code": _CODES.get(code, code)}}


def _type(status: int) -> str:
    return _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")


def _message(error: InfernetError) -> str:
    """Of an overflow only OpenAI's own words: their beginning is looked for."""
    overflow = error.message.find(OVERFLOW) if isinstance(error, ContextLengthExceeded) else -1
    return error.message[max(0, overflow) :]


def _param(error: InfernetError) -> str | None:
    """The field that the message begins with, by the convention of this API's messages."""
    if isinstance(error, ModelNotFound):
        return "model"
    named = _FIELD.match(error.message) if error.status < 500 else None
    return named[1] if named else None


OPENAI_ERRORS = ErrorShape(("/v1", "/v2", "/tokenize", "/detokenize", "/score", "/rerank"), error_body, error_headers)
