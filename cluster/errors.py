"""Errors that know their code, their HTTP status and whether a repeat can help.

    InfernetError
    ├── Unauthorized          401
    ├── Forbidden             403
    ├── BadRequest            400
    │   └── ContextLengthExceeded
    ├── BudgetExceeded        402
    ├── NotFound              404
    │   ├── ModelNotFound
    │   ├── JobNotFound
    │   ├── NodeNotFound
    │   ├── KeyNotFound
    │   ├── AccountNotFound
    │   ├── WebhookNotFound
    │   └── DeliveryNotFound
    ├── MethodNotAllowed      405
    ├── PayloadTooLarge       413
    ├── RateLimited           429
    ├── NoCapacity            503
    ├── Conflict              409
    ├── JobTimeout            -    only as a failed job's error
    ├── JobCancelled          -    only as a failed job's error
    ├── NodeDisconnected      -    only as a failed job's error
    ├── EngineFailed          -    only as a failed job's error
    ├── StreamLost            -    only as the end of a stream, not of its job
    ├── ConfigError           -    only on the command line
    ├── StartError            -    only on the command line
    ├── SystemLost            -    only on the command line
    └── InternalError         500

What goes wrong between this system and its database is not for clients: its words may name hosts and users, and what
a client is told instead is decided at the edge (`api/http/answers.py`).

    DatabaseFailed
    ├── DatabaseUnavailable   the same call may succeed later
    │   └── ConnectionLost    and whether this one did is not known
    ├── DatabaseTaken         another system owns the database now
    └── DatabaseRefused       the same call fails again

    Superseded                another process has begun in the place of this one

They cross process borders: every field is positional and passed to `Exception.__init__`, so that they pickle.
"""

from typing import ClassVar


class InfernetError(Exception):
    """An error a client may see. `message` is written for the client and says nothing of the inside.

    `retryable` says that the same request may succeed when it is sent again. It is False where a repeat would be
    refused or fail again, and for jobs that have run, and been paid for, until they failed.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class InternalError(InfernetError):
    """Something failed that is not the client's doing."""

    retryable = True

    def __init__(self, message: str = "Something went wrong on our end") -> None:
        super().__init__(message)


class Unauthorized(InfernetError):
    """One answer for every bad token, so that it tells nothing about which tokens exist."""

    code = "unauthorized"
    status = 401

    def __init__(self, message: str = "Invalid or expired bearer token") -> None:
        super().__init__(message)


class Forbidden(InfernetError):
    """The key is valid, but its role or its models do not allow this."""

    code = "forbidden"
    status = 403


class BadRequest(InfernetError):
    """A missing field, a wrong type or range, a body that is not JSON."""

    code = "bad_request"
    status = 400


class ContextLengthExceeded(BadRequest):
    """Prompt and max_tokens together do not fit the model's context."""

    code = "context_length_exceeded"


class BudgetExceeded(InfernetError):
    """The key's or the account's budget has no room for the job's prompt and max_tokens."""

    code = "budget_exceeded"
    status = 402


class NotFound(InfernetError):
    """No such path."""

    code = "not_found"
    status = 404


class ModelNotFound(NotFound):
    """The model is not in the catalogue."""

    code = "model_not_found"


class JobNotFound(NotFound):
    """No such job, or another account's: the two are not told apart."""

    code = "job_not_found"


class NodeNotFound(NotFound):
    """No such node."""

    code = "node_not_found"


class KeyNotFound(NotFound):
    """No such key, or another account's: the two are not told apart."""

    code = "key_not_found"


class AccountNotFound(NotFound):
    """No such account. Only admins ask for one."""

    code = "account_not_found"


class WebhookNotFound(NotFound):
    """No such webhook, or another account's: the two are not told apart."""

    code = "webhook_not_found"


class DeliveryNotFound(NotFound):
    """No such delivery of this webhook: it may have been removed since it ended."""

    code = "delivery_not_found"


class MethodNotAllowed(InfernetError):
    """The path exists, but not for this method."""

    code = "method_not_allowed"
    status = 405


class PayloadTooLarge(InfernetError):
    """The request's body is larger than the server takes."""

    code = "payload_too_large"
    status = 413


class RateLimited(InfernetError):
    """The key's window has no room for this: nothing remains of its `limit` until `reset_s`, in Unix seconds.

    `retry_after_s` is whole seconds, at least 1.
    """

    code = "rate_limited"
    status = 429
    retryable = True

    def __init__(self, message: str, retry_after_s: int = 1, limit: int = 0, reset_s: int = 0) -> None:
        super().__init__(message)
        self.args = (message, retry_after_s, limit, reset_s)
        self.retry_after_s = retry_after_s
        self.limit = limit
        self.reset_s = reset_s


class NoCapacity(InfernetError):
    """Nothing serves the model and nothing can be started, or its queue is full; or a part of the system is away."""

    code = "no_capacity"
    status = 503
    retryable = True


class Conflict(InfernetError):
    """The request does not fit what has happened already, such as cancelling a job that has ended."""

    code = "conflict"
    status = 409


class JobCancelled(InfernetError):
    """Its client cancelled the job."""

    code = "cancelled"


class JobTimeout(InfernetError):
    """The job did not end in the time a job may take."""

    code = "timeout"


class NodeDisconnected(InfernetError):
    """A pinned job's node is gone."""

    code = "node_disconnected"
    retryable = True


class EngineFailed(InfernetError):
    """The engine could not generate this job's answer."""

    code = "engine_error"


class StreamLost(InfernetError):
    """The text that was streamed is not the job's any more: it was lost, and the job has begun anew."""

    code = "stream_lost"

    def __init__(
        self, message: str = "The text streamed so far was lost, and the job has begun anew: read it from its start"
    ) -> None:
        super().__init__(message)


class ConfigError(InfernetError):
    """A setting that cannot be used. `message` names file, key and reason."""

    code = "config_error"


class StartError(InfernetError):
    """The system cannot start: one line says why."""

    code = "start_error"


class SystemLost(InfernetError):
    """What the system runs on has gone while it ran: one line says what."""

    code = "system_lost"


class Superseded(Exception):
    """Another process is the actor of this name by now. What this one still wants is refused, for good."""


class DatabaseFailed(Exception):
    """A read or write of the database failed. The message is for operators."""

    retryable: ClassVar[bool] = False


class DatabaseUnavailable(DatabaseFailed):
    """The database is locked, full, silent or cannot be reached. Calling again can help.

    Nothing was written, unless this is a `ConnectionLost` or says that no answer came in time.
    """

    retryable = True


class ConnectionLost(DatabaseUnavailable):
    """The connection broke on the way. If that was during a commit, only looking tells whether it was made."""


class DatabaseTaken(DatabaseFailed):
    """Another system has taken over the database. Whatever this one still wants to write is refused, for good."""


class DatabaseRefused(DatabaseFailed):
    """The database will not take what was given, now or later; nothing was written."""
