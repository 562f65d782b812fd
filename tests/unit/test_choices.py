"""A job's text taken apart again, by what it means and by choice: what each answer was."""

from cluster.messages.marks import Called, Prompt, Stopped, Tokens, Turn, Whole
from cluster.messages.work import Output
from cluster.text.answers import Choice, ToolCall, choices, count_of
from cluster.text.choices import Segment, by_choice, last_turn, segments

CALLS = (
    Turn(0, "reasoning"),
    Tokens(0, 0, (1, 2), "[1,2]"),
    Turn(4, "tool", 0, 0, "call_a"),
    Turn(5, "arguments", 0, 0, "call_a"),
    Turn(7, "tool", 0, 1, "call_b"),
    Turn(8, "arguments", 0, 1, "call_b"),
    Tokens(8, 0, (3,), "[3]"),
    Turn(10, "content", 1),
    Stopped(12, 1, "length", None, 9),
)


def test_a_plain_text_is_the_content_of_one_choice() -> None:
    assert list(segments("Paris", ())) == [Segment(Turn(0), "Paris")]
    assert choices("Paris", ()) == [Choice(0, "Paris")]
    assert (count_of(()), last_turn(())) == (1, Turn(0))


def test_what_was_thought_called_and_said() -> None:
    first, second = choices("Hmm.f{}g[]No", CALLS, count_of(CALLS))
    assert (first.reasoning, first.content) == ("Hmm.", None)
    assert first.tool_calls == [ToolCall("call_a", "f", "{}"), ToolCall("call_b", "g", "[]")]
    assert (first.token_ids, first.logprobs, first.stopped) == ([1, 2, 3], ["1,2", "3"], None)
    assert (second.content, second.stopped) == ("No", Stopped(12, 1, "length", None, 9))


def test_an_answer_that_is_read_otherwise_as_a_whole_is_both() -> None:
    whole = Whole(10, 0, None, "Hmm", (Called("call_a", "f", '{"a": 1}'),), "length")
    first, second = choices("Hmm.f{}g[]No", (*CALLS, whole), count_of(CALLS))
    read = first.as_whole()
    assert (read.content, read.reasoning, read.tool_calls) == (None, "Hmm", [ToolCall("call_a", "f", '{"a": 1}')])
    assert (read.token_ids, read.logprobs) == (first.token_ids, first.logprobs)
    assert first.tool_calls == [ToolCall("call_a", "f", "{}"), ToolCall("call_b", "g", "[]")]
    assert second.as_whole() is second


def test_a_kind_that_comes_back_goes_on_with_its_text() -> None:
    marks = (Turn(1, "reasoning"), Turn(2, "content"))
    assert choices("a.b", marks) == [Choice(0, "ab", ".")]
    assert last_turn(marks) == Turn(2, "content")


def test_a_prompt_is_told_of_its_choice() -> None:
    prompt = Prompt(0, 1, (5,), "p")
    assert [choice.prompt for choice in choices("", (prompt,), 2)] == [None, prompt]


def test_tokens_are_of_the_choice_whose_text_they_end() -> None:
    """One that is half a character is of the choice of the next."""
    output = Output("aéb", (1, 7, 8, 2), (1, 1, 2, 3), marks=(Turn(1, "content", 1), Turn(2, "content")))
    assert [each.token_ids for each in by_choice(output, 2)] == [(1, 2), (7, 8)]


def test_text_that_came_with_no_token_takes_none_of_another_choices() -> None:
    """A stop string that is part of the answer: before half a character of another answer."""
    marks = (Tokens(0, 0), Stopped(1, 0, "stop", "a", 1), Turn(1, "content", 1))
    output = Output("aé", (7, 8), (1, 2), marks=marks)
    first, second = by_choice(output, 2)
    assert (first.token_ids, first.stopped) == ((), Stopped(1, 0, "stop", "a", 1))
    assert (second.token_ids, second.segments) == ((7, 8), (Segment(Turn(1, "content", 1), "é"),))
