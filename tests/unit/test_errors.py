"""Errors cross process borders, and say to clients what the contract promises."""

import pickle
from collections.abc import Iterator

import pytest

from cluster.errors import InfernetError, InternalError, RateLimited, StreamLost, Unauthorized

# The contract's table. 500 stands for those that only a failed job shows, or a stream.
STATUS_OF = {
    "unauthorized": 401,
    "forbidden": 403,
    "bad_request": 400,
    "context_length_exceeded": 400,
    "model_not_found": 404,
    "job_not_found": 404,
    "node_not_found": 404,
    "key_not_found": 404,
    "account_not_found": 404,
    "webhook_not_found": 404,
    "delivery_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "budget_exceeded": 402,
    "payload_too_large": 413,
    "rate_limited": 429,
    "no_capacity": 503,
    "internal_error": 500,
    "timeout": 500,
    "node_disconnected": 500,
    "cancelled": 500,
    "engine_error": 500,
    "stream_lost": 500,
}
COMMAND_LINE_ONLY = {"config_error", "start_error", "system_lost"}
# What the HTTP routes and the engines cannot do without.
NEEDED = {
    "unauthorized", "bad_request", "context_length_exceeded", "model_not_found", "job_not_found",
    "node_not_found", "not_found", "rate_limited", "no_capacity", "internal_error", "timeout",
    "node_disconnected", "engine_error",
}  # fmt: skip


def subclasses(root: type[InfernetError]) -> Iterator[type[InfernetError]]:
    for error in root.__subclasses__():
        yield error
        yield from subclasses(error)


ERRORS = sorted(set(subclasses(InfernetError)), key=lambda error: error.__name__)


@pytest.mark.parametrize("error", [InfernetError, *ERRORS])
def test_an_error_survives_a_process_border(error: type[InfernetError]) -> None:
    sent = error("why")
    received = pickle.loads(pickle.dumps(sent))
    assert type(received) is error
    assert received.args == sent.args
    assert vars(received) == vars(sent)
    assert repr(received).startswith(f"{error.__name__}('why'")  # as logs show it
    assert (received.code, received.status, received.message, str(received)) == (
        error.code,
        error.status,
        "why",
        "why",
    )


def test_a_rate_limit_keeps_its_wait_and_its_window() -> None:
    received = pickle.loads(pickle.dumps(RateLimited("slow down", 7, 60, 1_800_000_000)))
    assert (received.message, received.retry_after_s) == ("slow down", 7)
    assert (received.limit, received.reset_s) == (60, 1_800_000_000)


@pytest.mark.parametrize("error", ERRORS)
def test_codes_and_statuses_are_the_contracts(error: type[InfernetError]) -> None:
    if error.code not in COMMAND_LINE_ONLY:
        assert error.status == STATUS_OF[error.code]


def test_every_code_has_one_class() -> None:
    codes = [error.code for error in ERRORS]
    assert len(codes) == len(set(codes))
    assert set(codes) >= NEEDED


def test_a_repeat_can_help_where_nothing_was_paid_for_and_time_helps() -> None:
    retryable = {error.code for error in ERRORS if error.retryable}
    assert retryable == {"rate_limited", "no_capacity", "node_disconnected", "internal_error"}


def test_what_is_told_when_nothing_more_is_known() -> None:
    assert InternalError().message == "Something went wrong on our end"
    assert Unauthorized().message == "Invalid or expired bearer token"
    assert StreamLost().message.startswith("The text streamed so far was lost")
    unknown = RateLimited("slow down")
    assert (unknown.retry_after_s, unknown.limit, unknown.reset_s) == (1, 0, 0)
