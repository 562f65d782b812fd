"""A job's output so far, however it was cut and wherever a reader stands."""

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.messages.money import Usage
from cluster.messages.work import Failed, Finished, Output
from cluster.text.token_log import Gap, TokenLog

END = Finished(Usage(3, 5), "stop")

# A generation: what each step brought, as tokens and the text of each. Tokens of no text happen, but not last.
Token = tuple[str, int]
Step = list[Token]
texts = st.text(alphabet="aé日🚀\n", max_size=4)
ids = st.integers(0, 2**32 - 1)
steps = st.lists(
    st.tuples(st.lists(st.tuples(texts, ids), max_size=3), st.tuples(texts.filter(bool), ids)).map(
        lambda step: [*step[0], step[1]]
    ),
    max_size=8,
)


def ends_of(tokens: Sequence[Token]) -> tuple[int, ...]:
    return tuple(accumulate(len(text) for text, _ in tokens))


def text_of(tokens: Sequence[Token]) -> str:
    return "".join(text for text, _ in tokens)


def ids_of(tokens: Sequence[Token]) -> tuple[int, ...]:
    return tuple(token_id for _, token_id in tokens)


def joined(steps: list[Step]) -> Output:
    tokens = [token for step in steps for token in step]
    return Output(text_of(tokens), ids_of(tokens), ends_of(tokens))


def append(log: TokenLog, step: Step) -> None:
    log.append(text_of(step), ids_of(step), ends_of(step))


def log_of(steps: list[Step]) -> TokenLog:
    log = TokenLog()
    for step in steps:
        append(log, step)
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
    for step in then:
        append(log, step)
    assert log.output() == joined(first + then)


@given(steps, st.data())
def test_a_reader_that_comes_at_any_time_gets_all_once(steps: list[Step], data: st.DataObject) -> None:
    log, read = TokenLog(), ""
    for step in steps:
        append(log, step)
        if data.draw(st.booleans()):
            read += log.since(len(read))
    assert read + log.since(len(read)) == log.text


@given(steps, st.data())
def test_what_is_sent_again_and_cut_otherwise_neither_repeats_nor_is_lost(
    steps: list[Step], data: st.DataObject
) -> None:
    whole = joined(steps)
    # Where steps begin: a sender starts at any of them, and one delta may carry several.
    text_at = [0, *accumulate(len(text_of(step)) for step in steps)]
    tokens_at = [0, *accumulate(map(len, steps))]
    log, reached = TokenLog(), 0
    while reached < len(steps):
        begin = data.draw(st.integers(0, reached))
        stop = data.draw(st.integers(begin + 1, len(steps)))
        text = whole.text[text_at[begin] : text_at[stop]]
        token_ids = whole.token_ids[tokens_at[begin] : tokens_at[stop]]
        ends = whole.ends[tokens_at[begin] : tokens_at[stop]]
        log.append_at(text_at[begin], text, tokens_at[begin], token_ids, ends)
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
    with pytest.raises(Gap, match=rf"^{log.length} code points here, the next begin at {log.length + missing}$"):
        log.append_at(log.length + missing, "x", len(log.token_ids), (1,))
    with pytest.raises(Gap):
        log.append_at(log.length, "x", len(log.token_ids) + missing, (1,))
    assert log.output() == before


def test_the_first_end_stays() -> None:
    log = log_of([[("Paris", 1)]])
    assert log.end is None
    log.close(END)
    log.close(Failed(Usage(), "timeout", "too late"))
    assert log.end is END


def test_an_ended_log_does_not_change() -> None:
    log = log_of([[("Paris", 1)]])
    log.close(END)
    log.append(" is late", (2,))
    log.append_at(5, " is late", 1, (2,))
    assert log.output() == Output("Paris", (1,), (5,))


def test_positions_are_code_points() -> None:
    log = log_of([[("🚀é", 1)], [("日", 2)]])
    assert (log.length, log.since(1), log.since(2)) == (3, "é日", "日")


def test_text_without_ends_came_with_the_last_token() -> None:
    log = TokenLog()
    log.append("a", (1,))
    log.append("🚀", (2, 3))
    assert log.output() == Output("a🚀", (1, 2, 3), (1, 1, 2))
    log.append_at(1, "🚀bc", 1, (2, 3, 4, 5))  # and so where a part of it is here already
    assert log.output() == Output("a🚀bc", (1, 2, 3, 4, 5), (1, 1, 2, 2, 4))


@given(steps, st.lists(ids, max_size=3).map(tuple), st.text(max_size=3))
def test_what_is_not_whole_is_no_point_to_go_on_from(
    steps: list[Step], half: tuple[int, ...], cut_by_a_stop_string: str
) -> None:
    log = log_of(steps)
    log.append("", half)
    log.append(cut_by_a_stop_string)
    assert log.output() == joined(steps)
    assert log.text == joined(steps).text + cut_by_a_stop_string


@given(steps, st.data())
def test_what_is_cut_off_is_as_if_it_had_never_been(steps: list[Step], data: st.DataObject) -> None:
    keep = data.draw(st.integers(0, len(steps)))
    log = log_of(steps)
    log.append("cut by a stop string")
    log.cut(sum(map(len, steps[:keep])))
    assert (log.output(), log.text) == (joined(steps[:keep]), joined(steps[:keep]).text)
    for step in steps[keep:]:
        append(log, step)
    assert log.output() == joined(steps)


@given(st.lists(st.integers(0, 2)), st.integers(0, 5), st.lists(st.integers(0, 2)))
def test_what_is_agreed_on_is_what_no_token_contradicts(here: list[int], begin: int, told: list[int]) -> None:
    log = TokenLog()
    for token_id in here:
        log.append("x", (token_id,))
    places = range(begin, min(len(here), begin + len(told)))
    contradicted = [place for place in places if here[place] != told[place - begin]]
    assert log.agreed(begin, told) == min(contradicted, default=len(here))


def test_a_text_is_kept_in_few_pieces_however_it_came() -> None:
    log, text = TokenLog(), ""
    for number in range(500):
        log.append(str(number), (number,))
        text += str(number)
        assert log.since(max(0, len(text) - 5)) == text[-5:]
    assert (log.text, log.since(100)) == (text, text[100:])


def test_a_log_keeps_its_epoch() -> None:
    assert TokenLog(epoch=3).output() == Output(epoch=3)
    assert TokenLog(Output("x", (1,), (1,), 2)).output(prompt_tokens=7) == Output("x", (1,), (1,), 2, 7)


def test_what_a_job_has_includes_the_prompts_tokens_where_they_are_told() -> None:
    assert TokenLog(epoch=1).output(2, [8, 9]) == Output(epoch=1, prompt_tokens=2, prompt_ids=(8, 9))


def test_text_that_a_stop_string_has_cut_is_of_no_token_also_beside_a_single_one() -> None:
    log = TokenLog()
    log.append("!c", (7,), (1,))
    assert (log.text, list(log.ends)) == ("!c", [1])
    assert (log.output().text, log.output().token_ids) == ("!", (7,))
