"""Jobs for tests of the rules: what they ask for does not matter, but for what a test says."""

from typing import Any

from cluster.ids import AccountId, JobId, KeyId
from cluster.messages.work import Job, Sampling

HOUR_MS = 3_600_000


def a_job(name: str, **fields: Any) -> Job:
    """A job of model `m` with three tokens to read and ten to write, within an hour, but for `fields`."""
    given: dict[str, Any] = {
        "id": JobId(name),
        "account_id": AccountId("acct"),
        "key_id": KeyId("key"),
        "model": "m",
        "messages": (),
        "sampling": Sampling(max_tokens=10),
        "created_ms": 0,
        "deadline_ms": HOUR_MS,
        "prompt_tokens": 3,
    }
    return Job(**(given | fields))
