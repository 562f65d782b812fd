"""Chat completions in chunks: what clients of OpenAI's API put together again is what they get whole."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given

from api.openai.choices import Told
from api.openai.completions import Chunks, ChunksWanted
from api.replica.live import Piece, Reader
from cluster.ids import JobId
from cluster.messages.marks import Mark, Prompt, Stopped, Tokens, Turn
from cluster.messages.money import Usage
from cluster.messages.work import Accepted, Failed, Finished
from cluster.text.answers import choices
from cluster.text.token_log import TokenLog
from tests.support.marked_texts import Step, marked_steps

ACCEPTED = Accepted(JobId("job_1"), "m", 5_000)
PLAIN = ChunksWanted()
END = Finished(Usage(3, 5, 2, 1), "length", "x")


def log_of(text: str, marks: Sequence[Mark], end: Finished | Failed = END) -> TokenLog:
    log = TokenLog(epoch=1)
    log.append(text, marks=marks)
    log.close(end)
    return log


def told(log: TokenLog, wanted: ChunksWanted = PLAIN) -> list[dict[str, Any]]:
    """The chunks that a client is sent, up to its end."""
    reader, chunks, events = Reader(), Chunks(ACCEPTED, wanted), b""
    while not (piece := reader.next(log) or Piece()).end:
        events += chunks.encode(piece)
    events += chunks.encode(piece)
    lines = events.decode().split("\n\n")
    assert lines.pop() == ""
    if isinstance(piece.end, Finished):
        assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def deltas(chunks: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    found = [choice for chunk in chunks for choice in chunk["choices"]]
    return [(choice["delta"], choice["finish_reason"]) for choice in found]


BEGIN = {"role": "assistant", "content": "", "refusal": None}


def test_a_plain_answer() -> None:
    chunks = told(log_of("Paris", ()))
    assert deltas(chunks) == [(BEGIN, None), ({"content": "Paris"}, None), ({}, "length")]
    assert chunks[-1]["choices"][0]["stop_reason"] == "x"
    assert {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks} == {
        ("chatcmpl-1", "chat.completion.chunk", 5, "m")
    }
    assert not any("usage" in chunk for chunk in chunks)


def test_an_empty_answer_begins_and_ends() -> None:
    assert deltas(told(log_of("", ()))) == [(BEGIN, None), ({}, "length")]


def test_thoughts_and_calls() -> None:
    marks = (Turn(0, "reasoning"), Turn(1, "tool", 0, 0, "a"), Turn(2, "arguments", 0, 0, "a"))
    named = {"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}
    assert deltas(told(log_of("hf{}", marks, Finished(Usage(), "tool_calls")))) == [
        (BEGIN, None),
        ({"reasoning": "h"}, None),
        ({"tool_calls": [named]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, None),
        ({}, "tool_calls"),
    ]


def test_the_usage_comes_last_and_is_null_before() -> None:
    *before, last = told(log_of("Paris", ()), ChunksWanted(usage=True))
    assert [chunk["usage"] for chunk in before] == [None] * 3
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


def test_the_usage_so_far_is_that_of_the_tokens_told_and_in_the_end_the_job_s() -> None:
    marks = (Prompt(0, 0, (7, 8)), Tokens(0, 0, (1, 2)), Tokens(2, 0, (3,)))
    chunks = told(log_of("ab", marks), ChunksWanted(usage=True, continuous_usage=True))
    counted = [(chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"]) for chunk in chunks]
    assert counted == [(2, 0), (2, 2), (3, 5), (3, 5)]


def test_each_of_several_choices_begins_and_ends_once() -> None:
    marks = (Turn(1, "content", 1), Stopped(2, 1, "stop", None, 1), Turn(2), Stopped(3, 0, "length", "x", 2))
    chunks = told(log_of("abc", marks), ChunksWanted(2))
    found = [choice for chunk in chunks for choice in chunk["choices"]]
    assert [(choice["index"], choice["delta"].get("content"), choice["finish_reason"]) for choice in found] == [
        (0, "", None),
        (1, "", None),
        (0, "a", None),
        (1, "b", None),
        (1, None, "stop"),
        (0, "c", None),
        (0, None, "length"),
    ]


def test_a_failed_job_ends_with_its_error_and_nothing_else() -> None:
    begin, text, error = told(log_of("Par", (), Failed(Usage(), "timeout", "too late")))
    assert deltas([begin, text]) == [(BEGIN, None), ({"content": "Par"}, None)]
    assert error["error"]["code"] == "timeout"


@given(marked_steps)
def test_the_chunks_put_together_are_the_answer(steps: list[Step]) -> None:
    log = TokenLog(epoch=1)
    for step in steps:
        log.append(step.text, marks=step.marks)
    log.close(END)
    wanted = ChunksWanted(3, told=Told(token_ids=True, logprobs=True))
    found = [choice for chunk in told(log, wanted) for choice in chunk["choices"]]
    echoed = next((mark.text for mark in log.marks if isinstance(mark, Prompt)), "")
    for answer in choices(log.text, log.marks, 3):
        mine = [choice for choice in found if choice["index"] == answer.index]
        said = [choice["delta"] for choice in mine]
        assert "".join(delta.get("content", "") for delta in said) == echoed + (answer.content or "")
        assert "".join(delta.get("reasoning", "") for delta in said) == (answer.reasoning or "")
        calls = [call["function"] for delta in said for call in delta.get("tool_calls", [])]
        assert "".join(call.get("arguments", "") for call in calls) == "".join(
            call.arguments for call in answer.tool_calls
        )
        assert [token_id for choice in mine for token_id in choice.get("token_ids", [])] == answer.token_ids
        logprobs = [entry for choice in mine for entry in (choice["logprobs"] or {"content": []})["content"]]
        assert logprobs == json.loads(f"[{','.join(answer.logprobs)}]")
        ends = [choice["finish_reason"] for choice in mine if choice["finish_reason"]]
        assert ends == ([answer.stopped.finish_reason] if answer.stopped else [])
