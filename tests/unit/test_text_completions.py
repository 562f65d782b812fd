"""Completions: what requests ask for here, and how their answers are told, whole and in chunks."""

import asyncio
import json
from typing import Any

import pytest

from api.openai.client_watch import Answer
from api.openai.error_shape import error_body
from api.openai.text_answers import TextChunks, TextWanted, text_completion
from api.openai.text_completions import parse_completion
from api.replica.live import Piece, Reader
from cluster.errors import BadRequest
from cluster.ids import JobId
from cluster.messages.marks import Mark, Prompt, Stopped, Tokens, Turn
from cluster.messages.money import Usage
from cluster.messages.work import Accepted, Finished, Order, Sampling
from cluster.text.token_log import TokenLog

BODY: Any = {"model": "capitals", "prompt": "The capital of"}
ACCEPTED = Accepted(JobId("job_1"), "capitals", 7000)


def order(**fields: Any) -> Order:
    body = json.dumps(BODY | fields).encode()
    return asyncio.run(parse_completion(body).order(body))


def form(**fields: Any) -> Any:
    asked = order(**fields)
    assert asked.form is not None
    return json.loads(asked.form.body)


def test_defaults_are_those_of_vllm() -> None:
    asked = order()
    assert (asked.sampling, asked.messages) == (Sampling(16, temperature=None, top_p=None), ())
    assert asked.form is not None
    assert (asked.form.kind, asked.form.why, asked.form.prompts) == ("completion", "prompt", 1)
    assert form() == {"prompt": "The capital of"}


@pytest.mark.parametrize(
    ("prompt", "count"), [("a", 1), (["a"], 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2)], ids=str
)
def test_a_batch_is_one_job_with_as_many_prompts(prompt: Any, count: int) -> None:
    asked = order(prompt=prompt, n=2)
    assert asked.form is not None
    assert (asked.form.prompts, asked.sampling.n) == (count, 2)
    assert form(prompt=prompt)["prompt"] == prompt


@pytest.mark.parametrize("prompt", [[1.0, 2], [[1.0], [2, 3.0]]], ids=str)
def test_token_ids_may_be_written_as_numbers_with_a_point(prompt: Any) -> None:
    """An engine is told them as they are: vLLM reads them so, too."""
    assert form(prompt=prompt)["prompt"] == prompt


@pytest.mark.parametrize("prompt", [[1.5], [[1], [2.5]], [-1.0], [1e300], [True, 1.0]], ids=str)
def test_what_is_no_token_id_is_refused(prompt: Any) -> None:
    with pytest.raises(BadRequest, match="prompt"):
        order(prompt=prompt)


def test_logprobs_of_what_is_echoed_are_those_of_the_prompt_too() -> None:
    assert order(logprobs=2).sampling.others == {"logprobs": 2}
    assert order(logprobs=2, echo=True).sampling.others == {"logprobs": 2, "prompt_logprobs": 2}
    assert order(logprobs=2, echo=True, prompt_logprobs=1).sampling.others == {"logprobs": 2, "prompt_logprobs": 1}
    assert order(logprobs=1, logprob_token_ids=[5]).sampling.others == {"logprob_token_ids": [5]}
    assert order(logprobs=True).sampling.others == {"logprobs": 1}


def test_whoever_wants_the_prompt_alone_pays_for_a_token() -> None:
    assert order(echo=True, max_tokens=0).sampling.max_tokens == 1
    assert form(echo=True, max_tokens=0)["max_tokens"] == 0


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ["a", [1]]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": ["a"] * 1025}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"suffix": "z"}, "suffix"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"logprobs": -2}, "logprobs"),
        ({"logprob_token_ids": [1]}, "logprob_token_ids"),
        ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
    ids=str,
)
def test_what_no_model_could_mean_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        order(**fields)
    assert error_body(refused.value)["error"]["param"] == param


def entry(token: str, logprob: float, *others: str) -> str:
    likeliest = [{"token": each, "logprob": logprob, "bytes": None} for each in (token, *others)]
    return json.dumps([{"token": token, "logprob": logprob, "bytes": None, "top_logprobs": likeliest}])


PROMPT_LOGPROBS = json.dumps([None, {"6": {"logprob": -2.0, "rank": 1, "decoded_token": " b"}}])
ECHOED = (
    "xyz",
    [
        Prompt(0, 0, (5, 6), "a b", first="a"),
        Prompt(0, 0, logprobs=PROMPT_LOGPROBS),
        Tokens(0, 0, (7,), entry("x", -1.0, "q")),
        Tokens(1, 0, (8,), entry("yz", -0.5)),
    ],
)
BATCH = (
    "oneuno",
    [
        Prompt(0, 0, (1,), "A "),
        Prompt(0, 1, (2, 3), "B "),
        Tokens(0, 0, (10,)),
        Turn(3, "content", 1),
        Tokens(3, 1, (20, 21)),
        Stopped(6, 1, "length", None, 2),
        Stopped(6, 0, "stop", "!", 1),
    ],
)
END = Finished(Usage(3, 3), "length")


def whole(told: tuple[str, list[Mark]], wanted: TextWanted) -> list[Any]:
    body = text_completion(ACCEPTED, Answer(*told), END, wanted)
    assert (body["id"], body["object"], body["created"]) == ("cmpl-1", "text_completion", 7)
    return list(body["choices"])


def chunks(told: tuple[str, list[Mark]], wanted: TextWanted, steps: int = 1) -> list[Any]:
    """The events for a reader that hears of so many more code points at a time."""
    text, marks = told
    encoder, reader, log = TextChunks(ACCEPTED, wanted), Reader(), TokenLog(epoch=1)
    encoded, begin = b"", 0
    for end in range(steps, len(text) + steps, steps):
        now = [mark for mark in marks if begin <= mark.at < end or (end >= len(text) and mark.at >= begin)]
        log.append(text[begin:end], marks=now)
        begin = end
        while piece := reader.next(log):
            encoded += encoder.encode(piece)
    encoded += encoder.encode(Piece(offset=len(text), end=END))
    events = [event.removeprefix(b"data: ") for event in encoded.split(b"\n\n") if event]
    assert events.pop() == b"[DONE]"
    return [json.loads(event) for event in events]


def test_an_echo_has_the_prompts_rows_before_those_of_the_answer() -> None:
    (choice,) = whole(ECHOED, TextWanted(echo=True, logprobs=1))
    assert (choice["text"], choice["finish_reason"]) == ("a bxyz", "length")
    assert choice["logprobs"] == {
        "text_offset": [0, 1, 3, 4],
        "token_logprobs": [None, -2.0, -1.0, -0.5],
        "tokens": ["a", " b", "x", "yz"],
        "top_logprobs": [None, {" b": -2.0}, {"x": -1.0, "q": -1.0}, {"yz": -0.5}],
    }
    assert choice["prompt_logprobs"] == json.loads(PROMPT_LOGPROBS)


def test_the_prompt_alone() -> None:
    (choice,) = whole(ECHOED, TextWanted(echo=True, logprobs=1, generates=False))
    assert (choice["text"], choice["logprobs"]["tokens"]) == ("a b", ["a", " b"])


def test_tokens_called_by_their_ids() -> None:
    (choice,) = whole(ECHOED, TextWanted(echo=True, logprobs=1, by_id=True))
    assert choice["logprobs"]["tokens"][:2] == ["token_id:5", "token_id:6"]


def test_tokens_are_told_instead_of_the_echos_text() -> None:
    (choice,) = whole(ECHOED, TextWanted(echo=True, token_ids=True))
    assert choice["text"] == "xyz"


def test_each_prompt_of_a_batch_has_its_answer() -> None:
    first, second = whole(BATCH, TextWanted(prompts=2, echo=True))
    assert (first["text"], first["finish_reason"], first["stop_reason"]) == ("A one", "stop", "!")
    assert (second["index"], second["text"], second["finish_reason"]) == (1, "B uno", "length")
    told = whole(BATCH, TextWanted(prompts=2, token_ids=True))
    assert [(each["prompt_token_ids"], each["token_ids"]) for each in told] == [([1], [10]), ([2, 3], [20, 21])]


@pytest.mark.parametrize("steps", [1, 2, 100])
@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (ECHOED, TextWanted(echo=True, logprobs=1)),
        (ECHOED, TextWanted(echo=True, logprobs=1, generates=False)),
        (BATCH, TextWanted(prompts=2, echo=True)),
        (BATCH, TextWanted(prompts=2, token_ids=True)),
    ],
    ids=["echo", "prompt", "batch", "tokens"],
)
def test_a_stream_tells_the_same_in_parts(told: tuple[str, list[Mark]], wanted: TextWanted, steps: int) -> None:
    parts = [event["choices"][0] for event in chunks(told, wanted, steps)]
    for choice in whole(told, wanted):
        own = [part for part in parts if part["index"] == choice["index"]]
        assert "".join(part["text"] for part in own) == choice["text"]
        assert [part["finish_reason"] for part in own] == [None] * (len(own) - 1) + [choice["finish_reason"]]
        if choice["logprobs"]:
            for column in choice["logprobs"]:
                joined = [cell for part in own if part["logprobs"] for cell in part["logprobs"][column]]
                assert joined == choice["logprobs"][column]
        if wanted.token_ids:
            assert [each for part in own for each in part["token_ids"]] == choice["token_ids"]
            assert own[0]["prompt_token_ids"] == choice["prompt_token_ids"]


def test_usage_comes_last_or_with_every_chunk() -> None:
    *parts, last = chunks(BATCH, TextWanted(prompts=2, usage=True))
    assert {part["usage"] for part in parts if part["choices"]} == {None}
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 6)
    *parts, _ = chunks(BATCH, TextWanted(prompts=2, usage=True, continuous_usage=True))
    assert [(p["choices"][0]["index"], p["usage"]["total_tokens"]) for p in parts][-2:] == [(1, 4), (0, 2)]
