"""langchain-openai: models, streams, tools, answers of a form, and an agent that calls tools until it knows."""

import asyncio
from functools import reduce
from operator import add
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI

from tests.contract.clients.subject import ANSWER, CAPITALS, QUESTION, Answer, Country


@tool
def get_capital(country: Country) -> str:
    """The capital of a country."""
    return CAPITALS[country]


@pytest.fixture
def chat(url: str, key: str, model: str) -> ChatOpenAI:
    return ChatOpenAI(base_url=url, api_key=key, model=model, temperature=0, stream_usage=True)


def gathered(stream: Any) -> AIMessageChunk:
    return reduce(add, stream)


def test_invoke(chat: ChatOpenAI) -> None:
    answer = chat.invoke(QUESTION)
    assert answer.content == ANSWER
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] > answer.usage_metadata["output_tokens"] > 1


def test_batch(chat: ChatOpenAI) -> None:
    answers = chat.batch([f"What is the capital of {country}?" for country in CAPITALS])
    assert [answer.content for answer in answers] == [f"{city} is the capital of {c}." for c, city in CAPITALS.items()]


def test_stream(chat: ChatOpenAI) -> None:
    streamed, whole = gathered(chat.stream(QUESTION)), chat.invoke(QUESTION)
    assert streamed.content == whole.content
    assert streamed.response_metadata["finish_reason"] == "stop"
    assert streamed.usage_metadata is not None
    assert whole.usage_metadata is not None
    assert streamed.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]


def test_astream(chat: ChatOpenAI) -> None:
    async def read() -> str:
        return "".join([str(chunk.content) async for chunk in chat.astream(QUESTION)])

    assert asyncio.run(read()) == ANSWER


def test_several_choices(url: str, key: str, model: str) -> None:
    chat = ChatOpenAI(base_url=url, api_key=key, model=model, temperature=0.01, n=2)
    (answers,) = chat.generate([[HumanMessage(QUESTION)]]).generations
    assert [answer.text for answer in answers] == [ANSWER] * 2


def test_log_probabilities(url: str, key: str, model: str) -> None:
    chat = ChatOpenAI(base_url=url, api_key=key, model=model, temperature=0, logprobs=True, top_logprobs=2)
    tokens = chat.invoke(QUESTION).response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens[:-1]) == ANSWER
    assert {len(token["top_logprobs"]) for token in tokens} == {2}


@pytest.mark.parametrize("choice", ["any", "get_capital"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_bind_tools(chat: ChatOpenAI, choice: str, stream: bool) -> None:
    bound = chat.bind_tools([get_capital], tool_choice=choice, parallel_tool_calls=False)
    answer: Any = gathered(bound.stream(QUESTION)) if stream else bound.invoke(QUESTION)
    assert answer.invalid_tool_calls == []
    (call,) = answer.tool_calls
    assert (call["name"], call["type"]) == ("get_capital", "tool_call")
    result = get_capital.invoke(call)
    assert isinstance(result, ToolMessage)
    assert (result.content, result.tool_call_id) == (CAPITALS[call["args"]["country"]], call["id"])
    after = chat.bind_tools([get_capital]).invoke([("user", QUESTION), answer, result], max_tokens=32)
    assert isinstance(after, AIMessage)
    assert after.response_metadata["finish_reason"] in ("stop", "length")


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_with_structured_output(chat: ChatOpenAI, method: Any) -> None:
    answer = chat.with_structured_output(Answer, method=method).invoke(QUESTION)
    assert isinstance(answer, Answer)


def test_with_structured_output_as_it_comes(chat: ChatOpenAI) -> None:
    *_, last = chat.with_structured_output(Answer).stream(QUESTION)
    assert isinstance(last, Answer)


def test_a_completion_of_a_prompt(url: str, key: str, model: str) -> None:
    prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    completer = OpenAI(base_url=url, api_key=key, model=model, temperature=0, max_tokens=16)
    assert completer.invoke(prompt) == "".join(completer.stream(prompt)) == ANSWER


def test_a_refusal_is_openais(chat: ChatOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        chat.invoke(QUESTION, temperature=3)


def test_an_agent(chat: ChatOpenAI) -> None:
    asked = []

    def get_capital(country: str) -> str:
        """The capital of a country."""
        asked.append(country)
        return CAPITALS[country]

    told = create_agent(chat, tools=[get_capital]).invoke({"messages": [("user", QUESTION)]})["messages"]
    assert asked == ["France"]
    assert [message.type for message in told] == ["human", "ai", "tool", "ai"]
    assert "Paris" in told[-1].content
