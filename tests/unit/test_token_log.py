"""A job's output so far, however it was cut and wherever a reader stands."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.messages.money import Usage
from cluster.messages.work import Failed, Finished, Output
from cluster.text.token_log import TokenLog

END = Finished(Usage(3, 5), "stop")

# A generation: what each step brought. Text of no token, and tokens of no text, both happen.
Step = tuple[str, tuple[int, ...]]
texts = st.text(alphabet="aé日🚀\n", max_size=4)
steps = st.lists(st.tuples(texts, st.lists(st.integers(0, 9), max_size=3).map(tuple)), max_size=8)


def joined(steps: list[Step]) -> Output:
    return Output("".join(text for text, _ in steps), tuple(token for _, tokens in steps for token in tokens))


def log_of(steps: list[Step]) -> TokenLog:
    log = TokenLog()
    for text, token_ids in steps:
        log.append(text, token_ids)
    return log


@given(steps, st.integers(0, 40))
def test_since_any_offset_is_the_rest_of_the_text(steps: list[Step], offset: int) -> None:
    log, whole = log_of(steps), joined(steps)
    assert log.since(offset) == whole.text[offset:]
    assert log.text == whole.text
    assert log.length == len(whole.text)


@given(steps)
def test_output_is_a_point_to_go_on_from(steps: list[Step]) -> None:
    log = log_of(steps)
    assert log.output() == joined(steps)
    assert TokenLog(log.output()).output() == log.output()


@given(steps, steps)
def test_a_resumed_log_goes_on_where_the_other_stood(first: list[Step], then: list[Step]) -> None:
    log = TokenLog(joined(first))
    for text, token_ids in then:
        log.append(text, token_ids)
    assert log.output() == joined(first + then)


@given(steps, st.data())
def test_a_reader_that_comes_at_any_time_gets_all_once(steps: list[Step], data: st.DataObject) -> None:
    log, read = TokenLog(), ""
    for text, token_ids in steps:
        log.append(text, token_ids)
        if data.draw(st.booleans()):
            read += log.since(len(read))
    assert read + log.since(len(read)) == log.text


@given(steps, st.data())
def test_what_is_sent_again_and_cut_otherwise_neither_repeats_nor_is_lost(
    steps: list[Step], data: st.DataObject
) -> None:
    whole = joined(steps)
    # Where steps begin: a sender starts at any of them, and one delta may carry several.
    text_at = [0, *accumulate(len(text) for text, _ in steps)]
    tokens_at = [0, *accumulate(len(tokens) for _, tokens in steps)]
    log, reached = TokenLog(), 0
    while reached < len(steps):
        begin = data.draw(st.integers(0, reached))
        stop = data.draw(st.integers(begin + 1, len(steps)))
        text = whole.text[text_at[begin] : text_at[stop]]
        token_ids = whole.token_ids[tokens_at[begin] : tokens_at[stop]]
        log.append_at(text_at[begin], text, tokens_at[begin], token_ids)
        reached = max(reached, stop)
        assert log.output() == joined(steps[:reached])


@given(st.text(min_size=1), st.data())
def test_text_may_overlap_anywhere(text: str, data: st.DataObject) -> None:
    log = TokenLog()
    while log.length < len(text):
        begin = data.draw(st.integers(0, log.length))
        log.append_at(begin, text[begin : data.draw(st.integers(begin, len(text)))])
        assert log.text == text[: log.length]
        log.append_at(log.length, text[log.length : log.length + 1])
    assert log.text == text


@given(steps, st.integers(1, 5))
def test_a_gap_is_an_error_and_changes_nothing(steps: list[Step], missing: int) -> None:
    log = log_of(steps)
    before = log.output()
    with pytest.raises(ValueError):
        log.append_at(log.length + missing, "x", len(log.token_ids), (1,))
    with pytest.raises(ValueError):
        log.append_at(log.length, "x", len(log.token_ids) + missing, (1,))
    assert log.output() == before


def test_the_first_end_stays() -> None:
    log = log_of([("Paris", (1,))])
    assert log.end is None
    log.close(END)
    log.close(Failed(Usage(), "timeout", "too late"))
    assert log.end is END


def test_an_ended_log_does_not_change() -> None:
    log = log_of([("Paris", (1,))])
    log.close(END)
    log.append(" is late", (2,))
    log.append_at(5, " is late", 1, (2,))
    assert log.output() == Output("Paris", (1,))


def test_positions_are_code_points() -> None:
    log = log_of([("🚀é", (1,)), ("日", (2,))])
    assert (log.length, log.since(1), log.since(2)) == (3, "é日", "日")
