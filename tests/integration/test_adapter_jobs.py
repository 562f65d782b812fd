"""LoRA adapters through the whole system: Ray, HTTP and vLLM; and one that does not load, which says so."""

from importlib.util import find_spec

import httpx
import pytest

from tests.support.forms import BROKEN, GERMAN, GERMAN_SOURCE, PLAIN, Forms
from tests.support.serving import START_S
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")

TEXTS = {PLAIN: "Paris is the capital of France.", GERMAN: "Die Hauptstadt von Frankreich ist Paris."}


def test_adapters_answer_are_listed_and_paid_for(forms: Forms) -> None:
    http = forms.http
    assert {name: answer(http, name) for name in TEXTS} == TEXTS
    assert {name: answer(http, name) for name in TEXTS} == TEXTS
    listed = [each for each in http.get("/v1/models").json()["data"] if each["parent"] == PLAIN]
    assert [(each["id"], each["root"]) for each in listed] == [(GERMAN, GERMAN_SOURCE)]
    used = {each["model"]: each for each in http.get("/api/v1/usage?group_by=model").json()["usage"]}
    assert used[GERMAN]["jobs"] == 2
    assert used[GERMAN]["cost"] == 3 * used[GERMAN]["completion_tokens"]


def test_one_that_is_none_fails_its_model_and_says_why(forms: Forms) -> None:
    wait_until(lambda: "adapter" in why_broken(forms.http), START_S, "why it failed")
    assert why_broken(forms.http) == "adapter broken:none: its adapter_config.json says no rank r"


def answer(http: httpx.Client, model: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 40,
        "temperature": 0,
    }
    told = http.post("/v1/chat/completions", json=body).raise_for_status().json()
    assert told["model"] == model
    return str(told["choices"][0]["message"]["content"])


def why_broken(http: httpx.Client) -> str:
    models = http.get("/api/v1/models?all=true").json()["models"]
    return str(next(each for each in models if each["id"] == BROKEN).get("state_message", ""))
