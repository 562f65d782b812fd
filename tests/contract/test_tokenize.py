"""Tokens of texts and dialogues, and back, for clients that count for themselves."""

from typing import Any

import pytest

from tests.contract.client import Api, answered, refused
from tests.contract.given import KeyMaker, question

TEXTS = ["", "What is the capital of Brazil?", "Brasília, São Paulo", "a\n b  c", "日本 😀"]


@pytest.fixture(scope="module")
def tokenizer(capitals: str) -> Any:
    from transformers import AutoTokenizer

    from actors.backends.builtin import resolve_source

    return AutoTokenizer.from_pretrained(resolve_source(f"builtin:{capitals}"))


def tokens(api: Api, **body: Any) -> dict[str, Any]:
    return answered(api.request("POST", "/tokenize", json=body))


def text(api: Api, **body: Any) -> str:
    prompt: str = answered(api.request("POST", "/detokenize", json=body))["prompt"]
    return prompt


@pytest.mark.parametrize("prompt", TEXTS, ids=repr)
def test_the_tokens_are_those_of_the_models_tokenizer(api: Api, capitals: str, tokenizer: Any, prompt: str) -> None:
    for special in (True, False):
        told = tokens(api, model=capitals, prompt=prompt, add_special_tokens=special, return_token_strs=True)
        ids = tokenizer.encode(prompt, add_special_tokens=special)
        assert (told["tokens"], told["count"]) == (ids, len(ids))
        assert told["token_strs"] == tokenizer.convert_ids_to_tokens(ids)
    plain = tokens(api, model=capitals, prompt=prompt)
    assert plain["tokens"] == tokenizer.encode(prompt)
    assert "token_strs" not in plain


def test_a_dialogue_has_as_many_tokens_as_its_job(api: Api, capitals: str, tokenizer: Any) -> None:
    body = question(capitals, max_tokens=1)
    told = tokens(api, model=capitals, messages=body["messages"])
    assert told["count"] == api.run(body)["result"]["usage"]["prompt_tokens"]
    models = answered(api.request("GET", "/v1/models"))["data"]
    assert told["max_model_len"] == next(model["max_model_len"] for model in models if model["id"] == capitals)
    open_ended = tokens(api, model=capitals, messages=body["messages"], add_generation_prompt=False)
    assert told["tokens"][: open_ended["count"]] == open_ended["tokens"]
    assert open_ended["count"] < told["count"]
    assert text(api, model=capitals, tokens=told["tokens"]) == tokenizer.decode(told["tokens"])


def test_an_engine_renders_what_is_more_than_a_dialogue_of_texts(api: Api, capitals: str, tokenizer: Any) -> None:
    asked = [{"role": "user", "content": "What is the capital of Peru?"}]
    begun = [*asked, {"role": "assistant", "content": "Lima"}]
    told = tokens(api, model=capitals, messages=begun, continue_final_message=True, add_generation_prompt=False)
    assert text(api, model=capitals, tokens=told["tokens"]).endswith("assistant\nLima")
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    with_tools = tokens(api, model=capitals, messages=asked, tools=[tool], return_token_strs=True)
    rendered = tokenizer.apply_chat_template(asked, tools=[tool], add_generation_prompt=True, tokenize=False)
    assert text(api, model=capitals, tokens=with_tools["tokens"]) == rendered
    assert len(with_tools["token_strs"]) == with_tools["count"]
    contradictory = {"continue_final_message": True, "add_generation_prompt": True}
    response = api.request("POST", "/tokenize", json={"model": capitals, "messages": begun, **contradictory})
    refused(response, 400, "bad_request", "continue_final_message")


@pytest.mark.parametrize("prompt", TEXTS, ids=repr)
def test_tokens_are_text_again(api: Api, capitals: str, tokenizer: Any, prompt: str) -> None:
    ids = tokens(api, model=capitals, prompt=prompt)["tokens"]
    assert text(api, model=capitals, tokens=ids) == tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("path", "body", "naming"),
    [
        ("/tokenize", {"prompt": "x"}, "model"),
        ("/tokenize", {"model": "capitals"}, "prompt"),
        ("/tokenize", {"model": "capitals", "prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ("/tokenize", {"model": "capitals", "prompt": 1}, "prompt"),
        ("/tokenize", {"model": "capitals", "prompt": "x", "chat_template": "y"}, "chat_template"),
        ("/tokenize", {"model": "sim:fast", "prompt": "x"}, "model"),
        ("/detokenize", {"model": "capitals", "tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"model": "capitals", "tokens": [2**32]}, "tokens[0]"),
        ("/detokenize", {"model": "capitals"}, "tokens"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(api: Api, capitals: str, path: str, body: dict[str, Any], naming: str) -> None:
    refused(api.request("POST", path, json=body), 400, "bad_request", naming)


def test_a_key_that_may_not_use_the_model(new_key: KeyMaker, capitals: str, fast: str) -> None:
    other = new_key(models=[fast]).api
    refused(other.request("POST", "/tokenize", json={"model": capitals, "prompt": "x"}), 403, "forbidden", "model")
    refused(other.request("POST", "/tokenize", json={"model": "nobody", "prompt": "x"}), 404, "model_not_found")
