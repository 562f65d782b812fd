"""GET /jobs/{id}: a job's record in each of its states."""

import time
from typing import Any

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import JOB_ID, NODE_ID, TIME, Api, answered, refused
from tests.contract.given import question

ALWAYS = {"id", "status", "model", "created_at"}


def check_always(job: dict[str, Any], model: str, status: str) -> None:
    assert JOB_ID.fullmatch(job["id"])
    assert TIME.fullmatch(job["created_at"])
    assert (job["model"], job["status"]) == (model, status)
    assert None not in job.values()


def test_completed(api: Api, model: str) -> None:
    began_s = time.monotonic()
    job = api.run(question(model))
    elapsed_ms = (time.monotonic() - began_s) * 1000
    assert set(job) == ALWAYS | {"node_id", "result", "completed_at", "latency_ms"}
    check_always(job, model, "completed")
    assert NODE_ID.fullmatch(job["node_id"])
    assert TIME.fullmatch(job["completed_at"])
    assert job["created_at"] <= job["completed_at"]
    assert isinstance(job["latency_ms"], int)
    assert 0 < job["latency_ms"] <= elapsed_ms + 1
    assert set(job["result"]) == {"content", "finish_reason", "usage"}
    assert job["result"]["content"]
    usage = job["result"]["usage"]
    assert set(usage) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] > 0
    assert 0 < usage["completion_tokens"] <= 32


def test_the_real_model_answers(api: Api, catalogue: Catalogue) -> None:
    job = api.run(question(catalogue.need("capitals"), temperature=0))
    assert job["result"]["content"] == "Paris is the capital of France."
    assert job["result"]["finish_reason"] == "stop"


def test_pending_and_processing(api: Api, hanging: str) -> None:
    holder = api.submit(question(hanging))["id"]
    api.read_some(holder)  # it runs
    waiting = api.submit(question(hanging))
    processing, pending = api.job(holder), api.job(waiting["id"])
    assert set(processing) == ALWAYS | {"node_id"}
    check_always(processing, hanging, "processing")
    assert NODE_ID.fullmatch(processing["node_id"])
    assert pending == waiting
    check_always(pending, hanging, "pending")


def test_failed(api: Api, failing: str) -> None:
    job = api.run(question(failing))
    assert ALWAYS | {"error", "error_message"} <= set(job)
    assert set(job) <= ALWAYS | {"error", "error_message", "node_id", "completed_at"}
    check_always(job, failing, "failed")
    assert job["error"] == "engine_error"
    assert job["error_message"]


def test_max_tokens_ends_with_length(api: Api, model: str) -> None:
    result = api.run(question(model, max_tokens=3, temperature=0))["result"]
    assert result["finish_reason"] == "length"
    assert result["usage"]["completion_tokens"] == 3


def test_the_models_own_end_is_stop(api: Api, model: str) -> None:
    result = api.run(question(model, max_tokens=200, temperature=0))["result"]
    assert result["finish_reason"] == "stop"
    assert result["usage"]["completion_tokens"] < 200


def test_text_ends_before_a_stop_string(api: Api, model: str) -> None:
    whole = api.run(question(model, temperature=0, seed=7))["result"]["content"]
    word = whole.split()[2]
    for stop in (word, ["never heard", word]):
        result = api.run(question(model, temperature=0, seed=7, stop=stop))["result"]
        assert result["content"] == whole[: whole.index(word)]
        assert result["finish_reason"] == "stop"


def test_the_same_seed_gives_the_same_text(api: Api, model: str) -> None:
    texts = {api.run(question(model, seed=11))["result"]["content"] for _ in range(2)}
    assert len(texts) == 1


def test_the_dialogue_reaches_the_model(api: Api, catalogue: Catalogue) -> None:
    body = question(catalogue.need("capitals"), temperature=0)
    body["messages"] = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "Paris is the capital of France."},
        {"role": "user", "content": "What is the capital of Peru?"},
    ]
    assert api.run(body)["result"]["content"] == "Lima is the capital of Peru."


def test_metadata_comes_back_where_it_was_given(api: Api, fast: str) -> None:
    metadata = {"customer": "42", "grüße": "世界 🌍"}
    job = api.run(question(fast, metadata=metadata))
    assert job["metadata"] == metadata
    assert "metadata" not in api.run(question(fast))
    assert "metadata" not in api.run(question(fast, metadata={}))


def test_wait_answers_as_soon_as_the_job_ends(api: Api, fast: str) -> None:
    job_id = api.submit(question(fast, max_tokens=64))["id"]
    began_s = time.monotonic()
    job = answered(api.get(f"/jobs/{job_id}", params={"wait": 60}))
    assert job["status"] == "completed"
    assert time.monotonic() - began_s < 10
    assert answered(api.get(f"/jobs/{job_id}", params={"wait": 60})) == job
    assert time.monotonic() - began_s < 10


def test_wait_answers_when_its_seconds_have_passed(api: Api, hanging: str) -> None:
    job_id = api.submit(question(hanging))["id"]
    api.read_some(job_id)
    for wait in (0, 1):
        began_s = time.monotonic()
        job = answered(api.get(f"/jobs/{job_id}", params={"wait": wait}))
        assert job["status"] == "processing"
        assert wait <= time.monotonic() - began_s < wait + 2


@pytest.mark.parametrize("wait", ["-1", "61", "1.5", "1.0", "", "x", "1e1", "true", "9" * 30, "\0", "１"])
def test_a_wait_that_is_not_ours(api: Api, wait: str) -> None:
    refused(api.get("/jobs/job_0000000000000000", params={"wait": wait}), 400, "bad_request", "wait")


@pytest.mark.parametrize("job_id", ["job_0000000000000000", "job_", "x", "JOB_0000000000000000", "%00", "%F0%9F%8C%8D"])
def test_an_unknown_job(api: Api, job_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/stream"), ("POST", "/cancel"), ("GET", "/placement")):
        response = api.request(method, f"/api/v1/jobs/{job_id}{path}")
        assert response.status_code in (400, 404)
        if response.status_code == 404:
            refused(response, 404, "job_not_found")
