"""instructor: models out of answers, by calls of tools and by JSON of a schema, whole and as they come."""

from collections.abc import Iterator
from typing import Any

import instructor
import openai
import pytest
from instructor import Mode

from tests.contract.clients.subject import QUESTION, Answer

MESSAGES: Any = [{"role": "user", "content": QUESTION}]
MODES = [Mode.TOOLS, Mode.JSON_SCHEMA]


@pytest.fixture
def sdk(url: str, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key=key) as sdk:
        yield sdk


@pytest.mark.parametrize("mode", MODES)
def test_a_model_at_once(sdk: openai.OpenAI, model: str, mode: Mode) -> None:
    client = instructor.from_openai(sdk, mode=mode)
    answer, completion = client.create_with_completion(
        model=model, messages=MESSAGES, response_model=Answer, temperature=0, max_retries=0
    )
    assert isinstance(answer, Answer)
    assert completion.usage.completion_tokens > 1


@pytest.mark.parametrize("mode", MODES)
def test_a_model_as_it_comes(sdk: openai.OpenAI, model: str, mode: Mode) -> None:
    client = instructor.from_openai(sdk, mode=mode)
    *_, last = client.create_partial(
        model=model, messages=MESSAGES, response_model=Answer, temperature=0, max_retries=0
    )
    assert Answer.model_validate(last.model_dump())


def test_by_the_name_of_a_provider(url: str, key: str, model: str) -> None:
    client = instructor.from_provider(f"openai/{model}", base_url=url, api_key=key)
    answer = client.create(messages=MESSAGES, response_model=Answer, temperature=0, max_retries=0)
    assert isinstance(answer, Answer)
