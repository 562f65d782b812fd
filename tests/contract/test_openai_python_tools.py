"""What the official Python SDK makes of tools, forms of answers, choices and log probabilities. It is unchanged."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.contract.client import answered
from tests.contract.clients.subject import ANSWER, CAPITALS, QUESTION, Answer, Country
from tests.contract.given import HIGH, KeyMaker, MadeKey

MESSAGES: Any = [{"role": "user", "content": QUESTION}]


class GetCapital(BaseModel):
    """The capital of a country."""

    country: Country


TOOL = openai.pydantic_function_tool(GetCapital, name="get_capital")
FORCED: list[Any] = ["required", {"type": "function", "function": {"name": "get_capital"}}]


@pytest.fixture(scope="module")
def key(new_key: KeyMaker) -> MadeKey:
    return new_key(limits=HIGH)


@pytest.fixture(scope="module")
def sdk(key: MadeKey) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{key.api.url}/v1", api_key=key.secret) as sdk:
        yield sdk


def test_an_answer_is_parsed_into_a_model(sdk: openai.OpenAI, capitals: str) -> None:
    answer = sdk.chat.completions.parse(model=capitals, messages=MESSAGES, temperature=0, response_format=Answer)
    parsed = answer.choices[0].message.parsed
    assert isinstance(parsed, Answer)
    assert parsed == Answer.model_validate_json(answer.choices[0].message.content or "")


@pytest.mark.parametrize("choice", FORCED, ids=["required", "named"])
def test_a_call_is_parsed_into_a_model(sdk: openai.OpenAI, capitals: str, choice: Any) -> None:
    answer = sdk.chat.completions.parse(
        model=capitals, messages=MESSAGES, temperature=0, tools=[TOOL], tool_choice=choice
    )
    assert answer.choices[0].finish_reason == ("tool_calls" if choice == "required" else "stop")  # as vLLM and OpenAI
    calls = answer.choices[0].message.tool_calls or []
    assert calls
    for call in calls:
        assert call.function.name == "get_capital"
        assert isinstance(call.function.parsed_arguments, GetCapital)
    assert len({call.id for call in calls}) == len(calls)


@pytest.mark.parametrize("choice", FORCED, ids=["required", "named"])
def test_the_stream_helper_gathers_a_call(sdk: openai.OpenAI, capitals: str, choice: Any) -> None:
    arguments, done = "", []
    with sdk.chat.completions.stream(
        model=capitals, messages=MESSAGES, temperature=0, tools=[TOOL], tool_choice=choice, parallel_tool_calls=False
    ) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.delta":
                arguments += event.arguments_delta
            elif event.type == "tool_calls.function.arguments.done":
                done.append(event)
        answer = stream.get_final_completion()
    (call,) = answer.choices[0].message.tool_calls or []
    (told,) = done
    assert call.id
    assert (told.name, told.arguments) == (call.function.name, call.function.arguments) == ("get_capital", arguments)
    assert isinstance(call.function.parsed_arguments, GetCapital)


def test_the_stream_helper_parses_an_answer_as_it_comes(sdk: openai.OpenAI, capitals: str) -> None:
    with sdk.chat.completions.stream(
        model=capitals,
        messages=MESSAGES,
        temperature=0,
        response_format=Answer,
        stream_options={"include_usage": True},
    ) as stream:
        events = list(stream)
        answer = stream.get_final_completion()
    (done,) = [event for event in events if event.type == "content.done"]
    assert "".join(event.delta for event in events if event.type == "content.delta") == done.content
    assert isinstance(done.parsed, Answer)
    assert answer.choices[0].message.parsed == done.parsed
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 1


def test_a_tools_result_is_taken(sdk: openai.OpenAI, capitals: str) -> None:
    """What the model makes of it is another matter."""
    tools: Any = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    asked = sdk.chat.completions.create(model=capitals, messages=MESSAGES, temperature=0, **tools)
    message = asked.choices[0].message
    (call,) = message.tool_calls or []
    assert call.type == "function"
    country = json.loads(call.function.arguments)["country"]
    dialogue: Any = [
        *MESSAGES,
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": CAPITALS[country]},
    ]
    answer = sdk.chat.completions.create(model=capitals, messages=dialogue, temperature=0, tools=[TOOL], max_tokens=32)
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert asked.usage is not None
    assert answer.usage.prompt_tokens > asked.usage.prompt_tokens


class AnyCapital(BaseModel):
    """The capital of a country."""

    country: str


def test_a_model_calls_a_tool_and_answers_from_its_result(sdk: openai.OpenAI, capitals: str) -> None:
    tool = openai.pydantic_function_tool(AnyCapital, name="get_capital")
    first = sdk.chat.completions.create(model=capitals, messages=MESSAGES, temperature=0, tools=[tool])
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"country": "France"}
    told: Any = [
        *MESSAGES,
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "Paris"},
    ]
    answer = sdk.chat.completions.create(model=capitals, messages=told, temperature=0, tools=[tool])
    assert answer.choices[0].finish_reason == "stop"
    assert "Paris" in (answer.choices[0].message.content or "")


def test_several_choices_of_an_answer_as_long_as_it_likes(sdk: openai.OpenAI, capitals: str) -> None:
    answer = sdk.chat.completions.create(model=capitals, messages=MESSAGES, n=3, temperature=0.01)
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(i, ANSWER) for i in range(3)]
    with sdk.chat.completions.stream(model=capitals, messages=MESSAGES, n=3, temperature=0.01) as stream:
        gathered = stream.until_done().get_final_completion()
    assert [(choice.index, choice.message.content) for choice in gathered.choices] == [(i, ANSWER) for i in range(3)]


def test_log_probabilities(sdk: openai.OpenAI, capitals: str) -> None:
    asked: Any = {"model": capitals, "messages": MESSAGES, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    logprobs = sdk.chat.completions.create(**asked).choices[0].logprobs
    assert logprobs is not None
    tokens = logprobs.content or []
    assert "".join(token.token for token in tokens[:-1]) == ANSWER
    assert all(token.top_logprobs[0].token == token.token and len(token.top_logprobs) == 2 for token in tokens)
    with sdk.chat.completions.stream(**asked) as stream:
        told = [event.content for event in stream if event.type == "logprobs.content.delta"]
        final = stream.get_final_completion().choices[0].logprobs
    assert final is not None
    assert [token.token for each in told for token in each] == [token.token for token in tokens]
    assert [token.token for token in final.content or []] == [token.token for token in tokens]


def test_a_completion_of_a_prompt(sdk: openai.OpenAI, capitals: str) -> None:
    prompt = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    answer = sdk.completions.create(model=capitals, prompt=prompt, temperature=0, max_tokens=16, logprobs=1, n=1)
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason) == (ANSWER, "stop")
    assert choice.logprobs is not None
    assert "".join((choice.logprobs.tokens or [])[:-1]) == ANSWER


def test_a_call_that_is_asked_for_again_is_the_same(key: MadeKey, capitals: str) -> None:
    """Whole, as vLLM writes it, from what is kept; the job's own API tells of the same call as its stream did."""
    body = {"model": capitals, "messages": MESSAGES, "temperature": 0, "tools": [TOOL], "tool_choice": "required"}
    asked = {"json": body | {"parallel_tool_calls": False}, "headers": {"Idempotency-Key": "one call"}}
    first, again = (key.api.request("POST", "/v1/chat/completions", **asked) for _ in range(2))
    message = answered(first)["choices"][0]
    assert answered(again)["choices"][0] == message
    (call,) = message["message"]["tool_calls"]
    (native,) = key.api.job(first.headers["X-Job-Id"])["result"]["tool_calls"]
    assert (native["id"], native["function"]["name"]) == (call["id"], call["function"]["name"])
    arguments = call["function"]["arguments"]
    assert arguments == json.dumps(json.loads(arguments), ensure_ascii=False)  # written anew
    assert json.loads(native["function"]["arguments"]) == json.loads(arguments)
