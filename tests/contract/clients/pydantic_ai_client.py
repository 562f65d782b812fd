"""pydantic-ai: answers, streams, output of a type by each of its ways, and a loop of tools."""

from typing import Any

import pytest
from pydantic_ai import Agent, ModelHTTPError, ModelSettings, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.contract.clients.subject import ANSWER, CAPITALS, QUESTION, Answer


@pytest.fixture
def chat(url: str, key: str, model: str) -> OpenAIChatModel:
    provider = OpenAIProvider(base_url=url, api_key=key)
    return OpenAIChatModel(model, provider=provider, settings=ModelSettings(temperature=0))


def test_run(chat: OpenAIChatModel) -> None:
    run = Agent(chat).run_sync(QUESTION)
    assert run.output == ANSWER
    assert run.usage.requests == 1
    assert run.usage.input_tokens > run.usage.output_tokens > 1


def test_a_dialogue_goes_on(chat: OpenAIChatModel) -> None:
    agent = Agent(chat, instructions="You are a helpful assistant.")
    first = agent.run_sync(QUESTION)
    second = agent.run_sync("What is the capital of Peru?", message_history=first.all_messages())
    assert second.output == "Lima is the capital of Peru."
    assert second.usage.input_tokens > first.usage.input_tokens


def test_stream(chat: OpenAIChatModel) -> None:
    run = Agent(chat).run_stream_sync(QUESTION)
    assert "".join(run.stream_text(delta=True, debounce_by=None)) == ANSWER
    assert run.usage.output_tokens > 1


@pytest.mark.parametrize("way", [ToolOutput, NativeOutput])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_output_of_a_type(chat: OpenAIChatModel, way: Any, stream: bool) -> None:
    agent = Agent(chat, output_type=way(Answer))
    if stream:
        *_, answer = agent.run_stream_sync(QUESTION).stream_output(debounce_by=None)
    else:
        answer = agent.run_sync(QUESTION).output
    assert isinstance(answer, Answer)


def test_a_refusal_is_openais(chat: OpenAIChatModel) -> None:
    with pytest.raises(ModelHTTPError, match="temperature") as refused:
        Agent(chat).run_sync(QUESTION, model_settings=ModelSettings(temperature=3))
    assert refused.value.status_code == 400


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_loop_of_tools(chat: OpenAIChatModel, stream: bool) -> None:
    asked = []
    agent = Agent(chat)

    @agent.tool_plain
    def get_capital(country: str) -> str:
        """The capital of a country."""
        asked.append(country)
        return CAPITALS[country]

    if stream:
        run = agent.run_stream_sync(QUESTION)
        output, usage = run.get_output(), run.usage
    else:
        whole = agent.run_sync(QUESTION)
        output, usage = whole.output, whole.usage
    assert asked == ["France"]
    assert "Paris" in output
    assert (usage.requests, usage.tool_calls) == (2, 1)
