"""Completions of prompts, by OpenAI's own client and as vLLM's server answers them."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.contract.client import Api, answered, refused
from tests.contract.given import HIGH, KeyMaker, MadeKey

ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"
FRANCE = f"<|im_start|>user\nWhat is the capital of France?{ASSISTANT}"
PERU = f"<|im_start|>user\nWhat is the capital of Peru?{ASSISTANT}"
PARIS, LIMA = "Paris is the capital of France.", "Lima is the capital of Peru."


@pytest.fixture(scope="module")
def key(new_key: KeyMaker) -> MadeKey:
    return new_key(limits=HIGH)


@pytest.fixture(scope="module")
def sdk(key: MadeKey) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{key.api.url}/v1", api_key=key.secret) as sdk:
        yield sdk


def ask(api: Api, model: str, prompt: Any, **fields: Any) -> dict[str, Any]:
    body = {"model": model, "prompt": prompt, "temperature": 0, **fields}
    return answered(api.request("POST", "/v1/completions", json=body))


def test_a_batch_is_one_job(sdk: openai.OpenAI, key: MadeKey, capitals: str) -> None:
    raw = sdk.completions.with_raw_response.create(
        model=capitals, prompt=[FRANCE, PERU], temperature=0, max_tokens=32, extra_body={"metadata": {"a": "b"}}
    )
    answer = raw.parse()
    assert [(choice.index, choice.text, choice.finish_reason) for choice in answer.choices] == [
        (0, PARIS, "stop"),
        (1, LIMA, "stop"),
    ]
    job = key.api.ended(raw.headers["X-Job-Id"])
    assert [choice["content"] for choice in job["result"]["choices"]] == [PARIS, LIMA]
    assert job["metadata"] == {"a": "b"}
    assert answer.usage is not None
    assert job["result"]["usage"]["total_tokens"] == answer.usage.total_tokens


def test_a_stream_tells_the_same(sdk: openai.OpenAI, capitals: str) -> None:
    texts = {0: "", 1: ""}
    last: Any = None
    for last in sdk.completions.create(
        model=capitals,
        prompt=[FRANCE, PERU],
        temperature=0,
        max_tokens=32,
        stream=True,
        stream_options={"include_usage": True},
    ):
        for choice in last.choices:
            texts[choice.index] += choice.text
    assert texts == {0: PARIS, 1: LIMA}
    assert (last.choices, last.usage.completion_tokens > 0) == ([], True)


def test_token_ids_stand_for_their_text(key: MadeKey, capitals: str) -> None:
    ids = answered(key.api.request("POST", "/tokenize", json={"model": capitals, "prompt": FRANCE}))["tokens"]
    told = ask(key.api, capitals, ids, max_tokens=32, return_token_ids=True)
    (choice,) = told["choices"]
    assert (choice["text"], choice["prompt_token_ids"]) == (PARIS, ids)
    assert told["usage"]["completion_tokens"] == len(choice["token_ids"])


def test_an_echo_has_its_logprobs(key: MadeKey, capitals: str) -> None:
    (choice,) = ask(key.api, capitals, FRANCE, max_tokens=3, echo=True, logprobs=2)["choices"]
    assert choice["text"].startswith(FRANCE)
    rows = choice["logprobs"]
    assert {len(column) for column in rows.values()} == {len(rows["tokens"])}
    assert "".join(rows["tokens"]) == choice["text"]
    assert (rows["token_logprobs"][0], rows["text_offset"][0]) == (None, 0)
    (alone,) = ask(key.api, capitals, FRANCE, max_tokens=0, echo=True, logprobs=2)["choices"]
    assert alone["text"] == FRANCE
    assert alone["logprobs"]["tokens"] == rows["tokens"][:-3]


def test_a_repeated_key_is_the_same_job(key: MadeKey, capitals: str) -> None:
    body = {"model": capitals, "prompt": PERU, "temperature": 0, "max_tokens": 32}
    headers = {"Idempotency-Key": "completion"}
    first, second = (key.api.request("POST", "/v1/completions", json=body, headers=headers) for _ in range(2))
    assert (answered(first), first.headers["X-Job-Id"]) == (answered(second), second.headers["X-Job-Id"])
    other = key.api.request("POST", "/v1/completions", json={**body, "prompt": FRANCE}, headers=headers)
    refused(other, 409, "conflict")


@pytest.mark.parametrize(
    ("fields", "naming"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": [10**6]}, "vocabulary"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"suffix": "."}, "suffix"),
        ({"n": 2}, "n"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(key: MadeKey, capitals: str, fields: dict[str, Any], naming: str) -> None:
    body = {"model": capitals, "prompt": FRANCE, "temperature": 0, **fields}
    refused(key.api.request("POST", "/v1/completions", json=body), 400, "bad_request", naming)


def test_a_simulated_model_answers_dialogues_alone(key: MadeKey, fast: str) -> None:
    refused(
        key.api.request("POST", "/v1/completions", json={"model": fast, "prompt": "x"}), 400, "bad_request", "prompt"
    )
