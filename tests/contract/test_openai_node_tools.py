"""What the official JavaScript SDK makes of tools, forms of answers, choices and log probabilities. It is unchanged."""

import json
from typing import Any

import pytest

from tests.contract.clients.subject import ANSWER, CAPITALS, Answer
from tests.contract.given import HIGH, KeyMaker, MadeKey
from tests.contract.javascript import node


@pytest.fixture(scope="module")
def key(new_key: KeyMaker) -> MadeKey:
    return new_key(limits=HIGH)


@pytest.fixture
def ask(key: MadeKey, capitals: str) -> Any:
    return lambda scenario: node(key, "openai_tools.mjs", scenario, capitals)


@pytest.mark.parametrize("scenario", ["parse", "stream"])
def test_an_answer_is_parsed(ask: Any, scenario: str) -> None:
    message = ask(scenario)
    assert message.get("deltas", message["content"]) == message["content"]
    assert Answer.model_validate(message["parsed"]) == Answer.model_validate_json(message["content"])


@pytest.mark.parametrize("scenario", ["call", "stream_call"])
def test_a_call_is_parsed(ask: Any, scenario: str) -> None:
    choice = ask(scenario)
    assert choice["finish_reason"] == "tool_calls"
    calls = [call["function"] for call in choice["message"]["tool_calls"]]
    assert calls
    for call in calls:
        assert call["name"] == "get_capital"
        assert call["parsed_arguments"] == json.loads(call["arguments"])
        assert call["parsed_arguments"]["country"] in CAPITALS
    assert choice.get("deltas") in (None, "".join(call["arguments"] for call in calls))


@pytest.mark.parametrize("scenario", ["run_tools", "run_tools_streaming"])
def test_run_tools(ask: Any, scenario: str) -> None:
    """A function that is named is called once: the runner does not ask again."""
    seen = ask(scenario)
    (called,) = seen["called"]
    question, call, result = seen["messages"]
    assert [question["role"], call["role"], result["role"]] == ["user", "assistant", "tool"]
    assert called["name"] == "get_capital"
    assert result["tool_call_id"] == call["tool_calls"][0]["id"]
    assert result["content"] == CAPITALS[json.loads(called["arguments"])["country"]]


@pytest.mark.parametrize("scenario", ["loop", "loop_streaming"])
def test_a_loop_of_tools(ask: Any, scenario: str) -> None:
    seen = ask(scenario)
    assert [json.loads(call["arguments"]) for call in seen["called"]] == [{"country": "France"}]
    assert [message["role"] for message in seen["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert "Paris" in seen["messages"][-1]["content"]


def test_several_choices(ask: Any) -> None:
    whole, streamed = ask("choices")
    assert whole == streamed == [[index, ANSWER] for index in range(3)]


def test_log_probabilities(ask: Any) -> None:
    for tokens in ask("logprobs"):
        assert "".join(token["token"] for token in tokens[:-1]) == ANSWER
        assert {len(token["top_logprobs"]) for token in tokens} == {2}


def test_a_completion_of_prompts(ask: Any) -> None:
    assert [choice["text"] for choice in ask("completion")["choices"]] == [ANSWER, ANSWER]
