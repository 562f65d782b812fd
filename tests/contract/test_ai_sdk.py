"""Vercel's AI SDK against /v1, unchanged, by both of its providers that speak OpenAI's chat completions."""

from typing import Any

import pytest

from tests.contract.clients.subject import ANSWER, CAPITALS, Answer
from tests.contract.given import HIGH, KeyMaker, MadeKey
from tests.contract.javascript import node

pytestmark = pytest.mark.parametrize("provider", ["openai-compatible", "openai"])


@pytest.fixture(scope="module")
def key(new_key: KeyMaker) -> MadeKey:
    return new_key(limits=HIGH)


@pytest.fixture
def ask(key: MadeKey, capitals: str, provider: str) -> Any:
    return lambda scenario: node(key, "ai_sdk.mjs", scenario, capitals, provider)


@pytest.mark.parametrize("scenario", ["text", "text_stream"])
def test_text(ask: Any, scenario: str) -> None:
    seen = ask(scenario)
    assert (seen["text"].strip(), seen["finish"]) == (ANSWER, "stop")
    assert seen.get("deltas", ANSWER) == ANSWER
    check_usage(seen)


def test_a_completion(ask: Any) -> None:
    seen = ask("completion")
    assert seen["text"].strip()  # the SDK puts words of its own around the prompt
    assert seen["finish"] == "stop"
    check_usage(seen)


def check_usage(seen: Any) -> None:
    assert seen["usage"]["inputTokens"] + seen["usage"]["outputTokens"] == seen["usage"]["totalTokens"]
    assert seen["usage"]["outputTokens"] > 1


@pytest.mark.parametrize("scenario", ["tools", "tools_stream"])
def test_tools(ask: Any, scenario: str) -> None:
    seen = ask(scenario)
    assert seen["finish"] == "tool-calls"
    assert seen["calls"]
    for call, result in zip(seen["calls"], seen["results"], strict=True):
        assert call["toolName"] == "get_capital"
        assert (result["toolCallId"], result["output"]) == (call["toolCallId"], CAPITALS[call["input"]["country"]])
    if scenario == "tools_stream":
        assert seen["calls"][0]["input"]["country"] in seen["input"]


@pytest.mark.parametrize("scenario", ["object", "object_stream", "output"])
def test_objects(ask: Any, scenario: str) -> None:
    Answer.model_validate(ask(scenario), strict=True)


def test_a_refusal_says_what_is_wrong(ask: Any) -> None:
    seen = ask("refusal")
    assert seen is not None
    assert (seen["is_call"], seen["status"]) == (True, 400)
    assert "temperature" in seen["message"]


@pytest.mark.parametrize("scenario", ["loop", "loop_stream"])
def test_a_loop_of_tools(ask: Any, scenario: str) -> None:
    seen = ask(scenario)
    assert (seen["steps"], seen["finish"]) == (2, "stop")
    assert "Paris" in seen["text"]
