"""Engines are killed while they call tools, think, write JSON and tell logprobs: nobody notices.

Real vLLM on the built-in model. An engine is killed when a first stream has told so much of what it tells undisturbed,
while the others run; what each of them is told must be what it is told undisturbed.
"""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest

from tests.chaos.disturbances import Deed
from tests.chaos.streams import wait_until_serving
from tests.support.serving import Serving, in_parallel

pytestmark = pytest.mark.long

MODEL = "capitals"
ENGINES = 2
JOBS_OF_A_KIND = 5
KILLS = 5
SETTINGS = {
    "limits": {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000, "reads_per_minute": 100_000},
    "models": [
        {
            "id": MODEL,
            "source": "builtin:capitals",
            "gpus": 0,
            "replicas": ENGINES,
            "chat_template_kwargs": {"enable_thinking": False},
            "engine": {"tool_call_parser": "hermes", "reasoning_parser": "qwen3", "max_num_seqs": 16},
        }
    ],
}
GET_CAPITAL = {
    "type": "function",
    "function": {
        "name": "get_capital",
        "description": "The capital of a country",
        "parameters": {"type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]},
    },
}
CITY = {"type": "object", "properties": {"city": {"enum": ["Paris", "Warsaw"]}}, "required": ["city"]}
COUNTRIES = ("France", "Poland", "Brazil", "Japan", "Kenya")


def asked(country: str, **fields: Any) -> dict[str, Any]:
    question = f"What is the capital of {country}?"
    base = {"model": MODEL, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 80}
    return {**base, **fields}


KINDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "tools": lambda country: asked(country, tools=[GET_CAPITAL], tool_choice="auto"),
    "thoughts": lambda country: asked(country, chat_template_kwargs={"enable_thinking": True}),
    "json": lambda country: asked(country, structured_outputs={"json": CITY}),
    "logprobs": lambda country: asked(country, logprobs=True, top_logprobs=2),
}
JOBS = [(kind, country) for kind in KINDS for country in COUNTRIES[:JOBS_OF_A_KIND]]


class Told(NamedTuple):
    """What a stream has told: its events, and what is kept of its job."""

    events: list[dict[str, Any]]
    job: dict[str, Any]

    @property
    def meaning(self) -> dict[str, Any]:
        """The texts by kind, without the ids that calls have."""
        joined = {kind: "".join(event.get(kind, "") for event in self.events) for kind in ("text", "reasoning")}
        calls = [call for event in self.events for call in event.get("tool_calls", ())]
        return {
            **joined,
            "name": "".join(call.get("name", "") for call in calls),
            "arguments": "".join(call.get("arguments", "") for call in calls),
        }

    @property
    def length(self) -> int:
        return sum(map(_length, self.events))

    @property
    def call_ids(self) -> set[str]:
        return {call["id"] for event in self.events for call in event.get("tool_calls", ())}


def _length(event: dict[str, Any]) -> int:
    calls = event.get("tool_calls", ())
    texts = [event.get("text"), event.get("reasoning"), *(call.get("name") for call in calls)]
    return sum(len(text or "") for text in [*texts, *(call.get("arguments") for call in calls)])


def _never(_: int) -> None:
    """What an undisturbed stream does with how much it has told."""


def stream(serving: Serving, body: dict[str, Any], tell: Callable[[int], None] = _never) -> Told:
    """`tell` is called with how many characters have been told, at each event."""
    events: list[dict[str, Any]] = []
    with serving.http() as http:
        with http.stream("POST", "/api/v1/jobs", json={**body, "stream": True}, timeout=300) as answer:
            assert answer.status_code == httpx.codes.OK, answer.read()
            job_id = answer.headers["X-Job-Id"]
            for line in answer.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    events.append(json.loads(line.removeprefix("data: ")))
                    tell(sum(map(_length, events)))
        return Told(events, http.get(f"/api/v1/jobs/{job_id}").json())


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    system = Serving(tmp_path_factory.mktemp("meanings"), SETTINGS)
    try:
        yield system.wait_until_ready(MODEL)
        assert system.stop() == 0
    finally:
        system.end()


@pytest.fixture(scope="module")
def undisturbed(serving: Serving) -> dict[tuple[str, str], Told]:
    return {job: stream(serving, KINDS[job[0]](job[1])) for job in JOBS}


@pytest.mark.parametrize("kill", range(1, KILLS + 1))
def test_an_engine_killed_in_the_middle_is_not_noticed(
    kill: int, serving: Serving, undisturbed: dict[tuple[str, str], Told]
) -> None:
    wait_until_serving(serving, ENGINES)
    deed, reached = Deed("kill", "Engine").on(serving), threading.Event()

    def tell(length: int, characters: int) -> None:
        if characters >= length * kill / (KILLS + 1):
            reached.set()

    killer = threading.Thread(target=lambda: reached.wait(60) and deed())
    killer.start()
    calls = [
        partial(stream, serving, KINDS[kind](country), partial(tell, undisturbed[kind, country].length))
        for kind, country in JOBS
    ]
    told = in_parallel(calls)
    killer.join()
    assert reached.is_set()
    for job, each in zip(JOBS, told, strict=True):
        check(job, each, undisturbed[job])


def check(job: tuple[str, str], told: Told, undisturbed: Told) -> None:
    assert told.job["status"] == "completed", (job, told.job)
    result, expected = told.job["result"], undisturbed.job["result"]
    assert told.meaning == undisturbed.meaning, job
    assert told.meaning["text"] == result["content"]
    assert told.meaning["reasoning"] == result.get("reasoning", "")
    usage, usual = result["usage"], expected["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (usual["prompt_tokens"], usual["completion_tokens"])
    assert usage.get("completion_tokens_details") == usual.get("completion_tokens_details"), job
    assert result["finish_reason"] == expected["finish_reason"]
    if job[0] == "tools":
        (call,) = result["tool_calls"]
        assert told.call_ids == {call["id"]}
        assert json.loads(call["function"]["arguments"]) == {"country": job[1]}
    elif job[0] == "json":
        assert set(json.loads(result["content"])) == {"city"}
    elif job[0] == "logprobs":
        tokens = [entry["token"] for entry in result["logprobs"]]
        assert tokens == [entry["token"] for entry in expected["logprobs"]]
