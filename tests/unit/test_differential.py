"""What tests/differential takes for equal."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.differential import expected, rules
from tests.differential.answer import DONE, Answer
from tests.differential.case import Mode
from tests.differential.comparing import MISSING, Difference, differences
from tests.differential.requests import CASES, POOLING_CASES

PAGE = Path(__file__).parents[2] / "docs" / "openai.md"
EVERY = [*CASES, *POOLING_CASES]
JSON = "application/json"


def whole(body: Any, status: int = 200) -> Answer:
    return Answer(status, JSON, body)


def stream(*chunks: Any) -> Answer:
    return Answer(200, "text/event-stream", list(chunks))


def refusal(kind: str, status: int = 400, **fields: Any) -> Answer:
    return whole({"error": {"message": "No.", "type": kind, "param": None, "code": None, **fields}}, status)


def chunk(delta: Any, finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, **fields}
    return {"id": "chatcmpl-1234567890abcdef", "object": "chat.completion.chunk", "created": 1, "choices": [choice]}


BEGINNING = chunk({"role": "assistant", "content": ""})


def cut(pieces: list[str], kind: str = "content") -> Answer:
    """The stream of an answer in these pieces, the last of which ends it."""
    middle = [chunk({kind: piece}) for piece in pieces[:-1]]
    return stream(BEGINNING, *middle, chunk({kind: pieces[-1]}, "stop"), DONE)


def paths(theirs: Answer, ours: Answer) -> list[str]:
    return [difference.path for difference in differences(theirs, ours)]


def test_every_request_has_a_name_of_its_own_and_can_be_sent() -> None:
    assert len({case.id for case in EVERY}) == len(EVERY)
    for case in EVERY:
        for mode in case.modes:
            body = case.body_in(mode)
            assert isinstance(body, bytes | None) or json.dumps(body)


def test_what_is_known_to_differ_is_asked() -> None:
    names = {name for case in EVERY for name in (case.id, *(f"{case.id}:{mode}" for mode in case.modes))}
    assert set(expected.DIFFERENCES) <= names


def test_users_are_told_what_is_compared_and_what_differs() -> None:
    page = " ".join(PAGE.read_text().split())
    told = [
        *rules.RULES,
        *rules.DROPPED.values(),
        *rules.MARKED.values(),
        *rules.TOLD.values(),
        *expected.DIFFERENCES.values(),
    ]
    assert [text for text in told if text not in page] == []


def test_a_difference_is_told_by_its_path_and_both_values() -> None:
    theirs = whole({"choices": [{"text": "a", "index": 0}], "model": "m"})
    ours = whole({"choices": [{"text": "b", "index": 0}], "model": "m", "more": 1})
    assert differences(theirs, ours) == [
        Difference("choices[0].text", "a", "b"),
        Difference("more", MISSING, 1),
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"a": None}, {}),
        ({}, {"a": {"b": None}, "created": 7} | {"a": None}),
        ({"id": "chatcmpl-0123456789abcdef"}, {"id": "chatcmpl-fedcba9876543210"}),
        ({"cached_tokens": 0}, {"cached_tokens": 128}),
        ({"created": 1, "system_fingerprint": "x"}, {"created": 2}),
        ({"logprob": -0.50001}, {"logprob": -0.5}),
        ({"logprob": -1.0}, {"logprob": -1}),
    ],
)
def test_what_does_not_count(theirs: Any, ours: Any) -> None:
    assert differences(whole(theirs), whole(ours)) == []


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"cached_tokens": 0}, {}),
        ({"a": ""}, {"a": None}),
        ({"a": []}, {}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": [1, 2]}, {"a": [1]}),
        ({"id": "chatcmpl-0123456789abcdef"}, {"id": "cmpl-0123456789abcdef"}),
        ({"logprob": -0.5}, {"logprob": -0.6}),
        ({"tokens": 5}, {"tokens": 6}),
    ],
)
def test_what_does_count(theirs: Any, ours: Any) -> None:
    assert len(differences(whole(theirs), whole(ours))) == 1


def test_statuses_and_content_types_come_first() -> None:
    assert paths(whole({"a": 1}), refusal("x", 404)) == ["status"]
    assert paths(whole({"a": 1}), stream(DONE)) == ["content type"]


def test_refusals_are_of_the_same_kind_and_name_the_same_field() -> None:
    ours = refusal("invalid_request_error", param="n", code="bad_request", message="No!")
    assert paths(refusal("BadRequestError", code=400), ours) == []
    assert paths(refusal("BadRequestError", param="body.n", code=400), ours) == []
    assert paths(refusal("BadRequestError", param="top_k"), ours) == ["error.param"]
    assert paths(refusal("NotFoundError"), ours) == ["error.type"]


@pytest.mark.parametrize("param", ["input_tokens", "body", "body.35", None])
def test_what_vllm_names_and_is_no_field_is_not_compared(param: str | None) -> None:
    assert paths(refusal("BadRequestError", param=param), refusal("invalid_request_error", param="messages")) == []


def test_a_refusal_in_the_first_event_of_a_stream_is_a_refusal() -> None:
    error = {"error": {"message": "No.", "type": "BadRequestError", "param": "seed", "code": 400}}
    assert paths(stream(error, DONE), refusal("invalid_request_error", param="seed")) == []
    assert paths(stream(error, DONE), refusal("invalid_request_error", param="n")) == ["error.param"]
    assert paths(stream(error, DONE), cut(["Paris"])) == ["status"]
    assert paths(stream(BEGINNING, error, DONE), refusal("invalid_request_error", param="seed")) == ["status"]


@given(st.text(min_size=1, max_size=30), st.lists(st.integers(0, 30)), st.lists(st.integers(0, 30)))
def test_streams_are_equal_however_they_are_cut(text: str, some: list[int], others: list[int]) -> None:
    def pieces(cuts: list[int]) -> list[str]:
        places = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
        return [text[begin:end] for begin, end in pairwise(places)]

    assert differences(cut(pieces(some)), cut(pieces(others))) == []


def test_streams_differ_by_text_kind_and_end() -> None:
    answer = cut(["Par", "is"])
    assert paths(answer, cut(["Par", "i"])) == ["choices.0.pieces[0].text"]
    assert paths(answer, cut(["Par", "is"], "reasoning")) == ["choices.0.pieces[0].kind"]
    assert paths(answer, Answer(200, answer.media_type, answer.body[:-1])) == ["end"]
    assert paths(answer, stream(*answer.body[:-2], chunk({}, "length"), DONE))[-1] == "choices.0.last.finish_reason"
    assert paths(answer, stream(*answer.body[:-1], {"error": {"type": "x"}}, DONE)) == ["errors[0]"]


def test_calls_of_tools_are_joined_by_their_index() -> None:
    def call(arguments: str, index: int = 0, **beginning: Any) -> dict[str, Any]:
        function = {"arguments": arguments} | {key: beginning.pop(key) for key in ("name",) if key in beginning}
        return {"tool_calls": [{"index": index, "function": function, **beginning}]}

    begun: Any = {"id": "chatcmpl-tool-0123456789abcdef", "type": "function", "name": "f"}
    other: Any = {**begun, "id": "chatcmpl-tool-ffffffffffffffff"}
    fine = stream(
        BEGINNING, *map(chunk, [call("", **begun), call('{"a"'), call(": 1}")]), chunk({}, "tool_calls"), DONE
    )
    coarse = stream(BEGINNING, chunk(call('{"a": 1}', **other)), chunk({}, "tool_calls"), DONE)
    assert differences(fine, coarse) == []
    two = stream(BEGINNING, *map(chunk, [call("{", **begun), call("}", 1, **begun)]), chunk({}, "tool_calls"), DONE)
    assert paths(fine, two)


def test_logprobs_and_token_ids_are_joined_over_chunks() -> None:
    def token(*names: str) -> dict[str, Any]:
        return {
            "logprobs": {"content": [{"token": name, "logprob": -1.0} for name in names]},
            "token_ids": [7] * len(names),
        }

    fine = stream(BEGINNING, chunk({"content": "a"}, **token("a")), chunk({"content": "b"}, "stop", **token("b")), DONE)
    coarse = stream(BEGINNING, chunk({"content": "ab"}, **token("a", "b")), chunk({}, "stop"), DONE)
    assert differences(fine, coarse) == []
    less = stream(BEGINNING, chunk({"content": "ab"}, **token("a")), chunk({}, "stop"), DONE)
    assert "choices.0.logprobs.content[1]" in paths(fine, less)


def test_usage_that_grows_is_the_same_wherever_a_stream_is_cut() -> None:
    def counted(part: dict[str, Any], tokens: int) -> dict[str, Any]:
        return part | {"usage": {"completion_tokens": tokens}}

    def counts(*tokens: int) -> Answer:
        middle = [counted(chunk({"content": "a" * 6 if len(tokens) == 1 else "aaa"}), each) for each in tokens]
        return stream(counted(BEGINNING, 0), *middle, counted(chunk({}, "stop"), 7), DONE)

    assert differences(counts(3, 6), counts(6)) == []
    assert paths(counts(3, 6), counts(6, 3)) == ["chunks.usage grows"]


def test_random_parts_of_ids() -> None:
    assert rules.form("chatcmpl-tool-b0d5ec5ec8da4b0d") == "chatcmpl-tool-*"
    assert rules.form("capitals") == "capitals"


def test_a_body_of_its_own_is_sent_as_it_is() -> None:
    (case,) = [case for case in CASES if case.id == "invalid/body: not UTF-8"]
    assert case.body_in(Mode.PLAIN) == b'{"model": "\xff"}'
