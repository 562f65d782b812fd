"""The official JavaScript SDK against /v1, unchanged."""

import pytest

from tests.contract.given import HIGH, KeyMaker, MadeKey
from tests.contract.javascript import node


@pytest.fixture(scope="module")
def key(new_key: KeyMaker) -> MadeKey:
    return new_key(limits=HIGH)


def test_a_completion(key: MadeKey, model: str) -> None:
    answer = node(key, "sdk.mjs", "completion", model)
    result = key.api.job(answer["job"])["result"]
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == result["content"]
    assert choice["finish_reason"] == result["finish_reason"]
    assert answer["usage"].items() >= result["usage"].items()


def test_a_stream(key: MadeKey, model: str) -> None:
    seen = node(key, "sdk.mjs", "stream", model)
    result = key.api.ended(seen["job"])["result"]
    *chunks, last = seen["chunks"]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == result["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == result["finish_reason"]
    assert last["choices"] == []
    assert last["usage"].items() >= result["usage"].items()


def test_the_sdks_own_gathering_of_a_stream(key: MadeKey, fast: str) -> None:
    seen = node(key, "sdk.mjs", "runner", fast)
    assert seen["content"]
    assert seen["deltas"] == seen["content"]


def test_a_client_that_hangs_up_cancels_its_job(key: MadeKey, slow: str) -> None:
    seen = node(key, "sdk.mjs", "abort", slow)
    while (job := key.api.job(seen["job"]))["status"] == "processing":
        pass  # until the test's own time limit
    assert (job["status"], job["error"]) == ("failed", "cancelled")


def test_models(key: MadeKey, fast: str) -> None:
    seen = node(key, "sdk.mjs", "models", fast)
    assert fast in seen["ids"]
    assert seen["one"] == fast


def test_errors_are_the_sdks_own(key: MadeKey, fast: str) -> None:
    seen = node(key, "sdk.mjs", "errors", fast)
    assert (seen["unknown"]["kind"], seen["unknown"]["code"]) == ("NotFoundError", "model_not_found")
    assert (seen["bad"]["kind"], seen["bad"]["param"]) == ("BadRequestError", "temperature")
    assert (seen["stranger"]["kind"], seen["stranger"]["code"]) == ("AuthenticationError", "invalid_api_key")


def test_a_failing_job(key: MadeKey, failing: str) -> None:
    seen = node(key, "sdk.mjs", "failing", failing)
    assert seen["text"]
    assert (seen["kind"], seen["code"]) == ("APIError", "engine_error")
