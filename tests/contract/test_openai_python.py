"""The official Python SDK against /v1, unchanged."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import openai
import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import Api, answered, refused
from tests.contract.given import HIGH, KeyMaker, MadeKey, question

MESSAGES: Any = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def key(new_key: KeyMaker) -> MadeKey:
    return new_key(limits=HIGH)


@pytest.fixture(scope="module")
def sdk(key: MadeKey) -> Iterator[openai.OpenAI]:
    with client(key) as sdk:
        yield sdk


def client(key: MadeKey, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{key.api.url}/v1", api_key=key.secret, **options)


def test_a_completion(sdk: openai.OpenAI, key: MadeKey, model: str) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model=model, messages=MESSAGES, max_tokens=32)
    answer = raw.parse()
    assert answer.object == "chat.completion"
    assert answer.model == model
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    job = key.api.job(raw.headers["X-Job-Id"])
    assert job["result"]["content"] == choice.message.content
    assert job["result"]["usage"] == answer.usage.model_dump(include=set(job["result"]["usage"]))
    assert job["result"]["finish_reason"] == choice.finish_reason


def test_the_real_model_answers(sdk: openai.OpenAI, catalogue: Catalogue) -> None:
    capitals = catalogue.need("capitals")
    answer = sdk.chat.completions.create(model=capitals, messages=MESSAGES, temperature=0)
    assert answer.choices[0].message.content == "Paris is the capital of France."
    assert answer.choices[0].finish_reason == "stop"
    dialogue: Any = [
        {"role": "system", "content": "You are a helpful assistant."},
        *MESSAGES,
        {"role": "assistant", "content": "Paris is the capital of France."},
        {"role": "user", "content": [{"type": "text", "text": "What is the capital of Peru?"}]},
    ]
    answer = sdk.chat.completions.create(model=capitals, messages=dialogue, temperature=0)
    assert answer.choices[0].message.content == "Lima is the capital of Peru."


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream(sdk: openai.OpenAI, key: MadeKey, model: str, usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    with sdk.chat.completions.create(
        model=model, messages=MESSAGES, max_completion_tokens=48, seed=3, stream=True, **options
    ) as stream:
        job_id = stream.response.headers["X-Job-Id"]
        chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    result = key.api.ended(job_id)["result"]
    assert (text, reasons[-1]) == (result["content"], result["finish_reason"])
    assert chunks[0].choices[0].delta.role == "assistant"
    told = [chunk.usage for chunk in chunks if chunk.usage]
    if usage:
        assert chunks[-1].choices == []
        assert [told_usage.model_dump(include=set(result["usage"])) for told_usage in told] == [result["usage"]]
    else:
        assert told == []


def test_stop_and_seed(sdk: openai.OpenAI, model: str) -> None:
    def content(**options: Any) -> str:
        answer = sdk.chat.completions.create(model=model, messages=MESSAGES, temperature=0, max_tokens=32, **options)
        return answer.choices[0].message.content or ""

    whole = content(seed=5)
    assert content(seed=5) == whole
    word = whole.split()[2]
    assert content(seed=5, stop=word) == content(seed=5, stop=["never heard", word]) == whole[: whole.index(word)]


def test_its_jobs_are_jobs_of_the_account_like_any_other(sdk: openai.OpenAI, key: MadeKey, fast: str) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model="sim:latest", messages=MESSAGES, metadata={"a": "b"})
    job = answered(key.api.get("/jobs", params={"limit": 1}))["jobs"][0]
    assert job["id"] == raw.headers["X-Job-Id"]
    assert (job["model"], job["metadata"]) == (fast, {"a": "b"})
    assert key.api.read(job["id"]).text == raw.parse().choices[0].message.content


SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["answer", "count"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("stream", [False, True])
def test_a_json_schema_is_followed(sdk: openai.OpenAI, catalogue: Catalogue, stream: bool) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    options: Any = {
        "model": catalogue.need("capitals"),
        "messages": MESSAGES,
        "response_format": wanted,
        "max_tokens": 200,
    }
    if stream:
        with sdk.chat.completions.create(stream=True, **options) as chunks:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    else:
        text = sdk.chat.completions.create(**options).choices[0].message.content or ""
    jsonschema.validate(json.loads(text), SCHEMA)


def test_models(sdk: openai.OpenAI, fast: str, broken: str) -> None:
    models = {model.id: model for model in sdk.models.list()}
    assert fast in models
    assert broken not in models
    assert models[fast].object == "model"
    assert sdk.models.retrieve(fast).id == fast
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("unheard:of")


def test_errors_are_the_sdks_own(key: MadeKey, fast: str, broken: str, new_key: KeyMaker) -> None:
    def error(kind: type[openai.APIStatusError], caller: MadeKey = key, **fields: Any) -> openai.APIStatusError:
        body: Any = {"model": fast, "messages": MESSAGES, **fields}
        with client(caller, max_retries=0) as sdk, pytest.raises(kind) as raised:
            sdk.chat.completions.create(**body)
        return raised.value

    assert error(openai.NotFoundError, model="unheard:of").code == "model_not_found"
    bad = error(openai.BadRequestError, temperature=3)
    assert (bad.code, bad.param) == ("bad_request", "temperature")
    assert error(openai.BadRequestError, n=2).param == "n"
    assert error(openai.BadRequestError, max_tokens=10**8).code == "context_length_exceeded"
    assert error(openai.BadRequestError, tools=[{"type": "function", "function": {"name": "f"}}]).param == "tools"
    assert error(openai.InternalServerError, model=broken).code == "no_capacity"
    confined = new_key(models=[broken], limits=HIGH)
    assert error(openai.PermissionDeniedError, caller=confined).code == "forbidden"
    poor = new_key(limits=HIGH, budget={"unit": "tokens", "amount": 0, "period": "all"})
    assert error(openai.APIStatusError, caller=poor).status_code == 402
    limited = new_key(limits={**HIGH, "submissions_per_minute": 1, "submissions_per_hour": 1})
    limited.api.post("/jobs", question(fast))
    assert error(openai.RateLimitError, caller=limited).code == "rate_limit_exceeded"
    unknown = MadeKey({"key": "inft_" + "0" * 40}, key.api)
    assert error(openai.AuthenticationError, caller=unknown).code == "invalid_api_key"


def test_a_failing_job(key: MadeKey, failing: str) -> None:
    with client(key, max_retries=0) as sdk:
        with pytest.raises(openai.APIStatusError) as raised:
            sdk.chat.completions.create(model=failing, messages=MESSAGES, max_tokens=32)
        assert raised.value.code == "engine_error"
        text = ""
        with pytest.raises(openai.APIError) as broke:
            for chunk in sdk.chat.completions.create(model=failing, messages=MESSAGES, max_tokens=32, stream=True):
                text += chunk.choices[0].delta.content or ""
        assert broke.value.code == "engine_error"
    assert text


def wait_until_cancelled(api: Api, job_id: str, left_s: float) -> None:
    """Looks again and again: who waits for the job, with `wait` or at its stream, is a reader and keeps it alive."""
    while (job := api.job(job_id))["status"] == "processing":
        assert time.monotonic() - left_s < 2
    assert (job["status"], job["error"]) == ("failed", "cancelled")


def test_a_client_that_hangs_up_cancels_its_job(sdk: openai.OpenAI, key: MadeKey, slow: str) -> None:
    stream = sdk.chat.completions.create(model=slow, messages=MESSAGES, max_tokens=1500, stream=True)
    while not next(stream).choices[0].delta.content:
        pass
    job_id = stream.response.headers["X-Job-Id"]
    stream.close()
    wait_until_cancelled(key.api, job_id, time.monotonic())


def test_a_client_that_does_not_stream_and_hangs_up_cancels_its_job(key: MadeKey, slow: str) -> None:
    before = {job["id"] for job in answered(key.api.get("/jobs", params={"limit": 100}))["jobs"]}
    with client(key, max_retries=0, timeout=1.0) as impatient, pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model=slow, messages=MESSAGES, max_tokens=1500)
    left_s = time.monotonic()
    (job,) = [job for job in answered(key.api.get("/jobs"))["jobs"] if job["id"] not in before]
    wait_until_cancelled(key.api, job["id"], left_s)


def test_a_client_that_hangs_up_leaves_its_job_to_other_readers(sdk: openai.OpenAI, key: MadeKey, slow: str) -> None:
    stream = sdk.chat.completions.create(model=slow, messages=MESSAGES, max_tokens=60, stream=True)
    job_id = stream.response.headers["X-Job-Id"]
    reads = threading.Event()

    def follow() -> None:
        with key.api.another() as another, another.stream("GET", f"/jobs/{job_id}/stream") as response:
            for _ in response.iter_bytes():
                reads.set()

    reader = threading.Thread(target=follow)
    reader.start()
    assert reads.wait(10)
    stream.close()
    reader.join()
    assert key.api.job(job_id)["status"] == "completed"


@pytest.mark.parametrize("content", [b"[]", b'{"model": 1}', b'{"model": "sim:fast"}'])
def test_a_body_that_is_wrong(key: MadeKey, content: bytes) -> None:
    refused(key.api.request("POST", "/v1/chat/completions", content=content), 400, "bad_request")
