"""The hash that an idempotency key stands for: one that an earlier version took is the same today."""

import json
from typing import Any

import pytest

from api.http.bodies import Request, parse
from api.jobs.schemas import JobRequest, body_hash
from api.openai.requests import ChatCompletionRequest

MESSAGE = {"role": "user", "content": "Hello"}
PLAIN: dict[str, Any] = {"model": "sim", "messages": [MESSAGE]}
FULL: dict[str, Any] = {
    "model": "sim",
    "messages": [{"role": "system", "content": "Be brief"}, MESSAGE],
    "max_tokens": 7,
    "temperature": 0,
    "top_p": 0.5,
    "stream": True,
    "node_id": "node_1",
    "stop": "x",
    "seed": 3,
    "metadata": {"b": "1", "a": "2"},
}
CHAT: dict[str, Any] = {
    "model": "sim",
    "messages": [{"role": "developer", "content": "Be brief"}, MESSAGE],
    "max_completion_tokens": 7,
    "max_tokens": 9,
    "temperature": 0,
    "top_p": 0.5,
    "stream": True,
    "stream_options": {"include_usage": True},
    "stop": "x",
    "seed": 3,
    "metadata": {"b": "1", "a": "2"},
    "response_format": {"type": "json_object"},
}


def hash_of(kind: type[Request], body: dict[str, Any]) -> str:
    return body_hash(parse(kind, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("kind", "body", "recorded"),
    [
        # By the version before jobs had a priority.
        (JobRequest, PLAIN, "b5bc7df4b845dccfb14cfb6ddbd6994c42c9ec3e4015bdc1328a53565b8182db"),
        (JobRequest, FULL, "1d5e5045783470c6ba0ad331ecba8f420171f7271d7bea544db1df3b7ec8cae1"),
        # The same in the version after.
        (ChatCompletionRequest, PLAIN, "d8970a5239f6ce6f0a693e5c3c2edbd6148f72071975389d23a3c8f552754a93"),
        (ChatCompletionRequest, CHAT, "05f94d1a5ecd82846f8242c4f0e93b1e58e469670b56f94e96f34ccb45d405cf"),
    ],
    ids=["plain", "full", "plain chat", "full chat"],
)
def test_a_body_that_an_earlier_version_took_has_the_hash_that_it_gave_it(
    kind: type[Request], body: dict[str, Any], recorded: str
) -> None:
    assert hash_of(kind, body) == recorded


@pytest.mark.parametrize("priority", ["normal", None])
def test_a_later_field_that_is_given_as_its_default_changes_nothing(priority: str | None) -> None:
    assert hash_of(JobRequest, {**PLAIN, "priority": priority}) == hash_of(JobRequest, PLAIN)


def test_a_later_field_that_is_used_makes_another_body() -> None:
    hashes = {hash_of(JobRequest, {**PLAIN, "priority": priority}) for priority in ("high", "normal", "low")}
    assert len(hashes) == 3
