"""vLLM's own fields that say how tokens are drawn, at either API, with the real model."""

from typing import Any

import pytest

from tests.contract.client import Api, answered, refused
from tests.contract.given import question


def native(api: Api, model: str, **fields: Any) -> dict[str, Any]:
    """The result of a job."""
    result: dict[str, Any] = api.run(question(model, temperature=0, **fields))["result"]
    return result


def openai(api: Api, model: str, **fields: Any) -> dict[str, Any]:
    """The same of a completion: its text, why it ended, and its usage."""
    body = question(model, temperature=0, **fields)
    answer = answered(api.request("POST", "/v1/chat/completions", json=body))
    (choice,) = answer["choices"]
    return {
        "content": choice["message"]["content"],
        "finish_reason": choice["finish_reason"],
        "usage": {name: answer["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
    }


CHANGES: dict[str, dict[str, Any]] = {
    "penalties": {"presence_penalty": 2, "frequency_penalty": 2.0, "repetition_penalty": 2.5, "min_tokens": 20},
    "min_tokens": {"min_tokens": 24},
    "ignore_eos": {"ignore_eos": True, "max_tokens": 30},
    "bad_words": {"bad_words": ["is"]},
    "stop string": {"stop": ["capital"], "include_stop_str_in_output": True},
    "special tokens": {"skip_special_tokens": False, "ignore_eos": True, "max_tokens": 24},
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_done_and_the_same_at_either_api(api: Api, capitals: str, change: str) -> None:
    fields = {"max_tokens": 64} | CHANGES[change]
    plain, changed = native(api, capitals, max_tokens=64), native(api, capitals, **fields)
    assert changed["content"] != plain["content"]
    assert changed["usage"]["completion_tokens"] >= fields.get("min_tokens", 0)
    assert openai(api, capitals, **fields) == changed


def test_any_number_of_stop_strings_at_v1_and_four_at_jobs(api: Api, capitals: str) -> None:
    stop = ["never", "heard", "of", "these", " is"]
    whole = openai(api, capitals)["content"]
    assert openai(api, capitals, stop=stop)["content"] == whole[: whole.index(" is")]
    refused(api.post("/jobs", question(capitals, stop=stop)), 400, "bad_request", "stop: ")


def test_an_answer_of_v1_may_be_as_long_as_the_context_leaves(api: Api, capitals: str) -> None:
    answer = openai(api, capitals, ignore_eos=True, max_tokens=None)
    models = answered(api.get("/models", params={"all": "true"}))["models"]
    context = next(model["context_length"] for model in models if model["id"] == capitals)
    assert answer["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == context


def test_a_whole_number_may_be_written_as_a_float_at_v1_alone(api: Api, capitals: str) -> None:
    assert openai(api, capitals, max_tokens=3.0, seed=7.0)["usage"]["completion_tokens"] == 3
    refused(api.post("/jobs", question(capitals, max_tokens=3.0)), 400, "bad_request", "max_tokens: ")


def test_what_only_the_engine_can_judge_is_refused_in_vllms_words(api: Api, capitals: str) -> None:
    body = question(capitals, allowed_token_ids=[10**6])
    refused(api.post("/jobs", body), 400, "bad_request", "allowed_token_ids contains out-of-vocab token id")
