"""Stop strings: what is passed on of an answer, and what ends it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from actors.backends.stop_strings import StopStringFilter


def let_out(
    stop: tuple[str, ...], *pieces: str, includes: bool = False, unstoppable: int = 0
) -> tuple[str, tuple[int, ...], bool]:
    stop_strings = StopStringFilter(stop, includes, unstoppable)
    text, ids = "", ()
    for token_id, piece in enumerate(pieces):
        for more, more_ids in stop_strings.push(piece, token_id):
            text, ids = text + more, ids + more_ids
    return text, ids, stop_strings.stopped


def test_ids_without_text_wait_for_it() -> None:
    assert let_out((), "a", "", "", "é", "") == ("aé", (0, 1, 2, 3), False)


def test_a_possible_stop_string_is_held_back_in_whole_tokens() -> None:
    assert let_out(("END",), "one ", "two E", "N") == ("one ", (0,), False)
    assert let_out(("END",), "one ", "two E", "N", "d") == ("one two ENd", (0, 1, 2, 3), False)
    assert let_out(("END",), "one ", "two E", "N", "D, three") == ("one two ", (0,), True)
    assert let_out(("END",), "one ", "END") == ("one ", (0,), True)


def test_the_longest_beginning_of_a_stop_string_is_withheld() -> None:
    """The shorter one, "a" of "aab", would let its first character out before the rest makes it complete."""
    assert let_out(("aab",), "x", "a", "a", "b") == ("x", (0,), True)
    assert let_out(("abab!",), "x", "a", "b", "a", "b", "!") == ("x", (0,), True)
    assert let_out(("aab",), "x", "a", "a", "a", "b") == ("xa", (0, 1), True)


def test_the_stop_string_complete_first_counts() -> None:
    assert let_out(("bcd", "c"), "abcd") == ("ab", (), True)
    assert let_out(("cd", "bcd"), "abcd") == ("ab", (), True)  # both at once: the first that was given


def test_flush_gives_the_rest() -> None:
    stop_strings = StopStringFilter(("END",))
    assert stop_strings.push("the E", 1) == []
    assert stop_strings.push("", 2) == []
    assert stop_strings.flush() == [("the E", (1,))]


def test_a_stop_string_may_be_part_of_the_answer() -> None:
    assert let_out(("END",), "one ", "two E", "ND, three", includes=True) == ("one two END", (0,), True)
    assert let_out(("END",), "one ", "END", includes=True) == ("one END", (0,), True)


def test_none_ends_in_the_first_tokens() -> None:
    assert let_out(("b",), "a", "b", "c", "b", unstoppable=2) == ("abc", (0, 1, 2), True)
    assert let_out(("bc",), "a", "b", "c", unstoppable=2) == ("a", (0,), True)
    assert let_out(("bc",), "a", "bc", "b", unstoppable=2) == ("abc", (0, 1), False)


def vllms_answer(stop: Sequence[str], pieces: Sequence[str], includes: bool, unstoppable: int) -> tuple[str, bool]:
    """What vLLM makes of it: after each token it looks at the text that came since none could end the answer."""
    text, checked = "", 0
    for count, piece in enumerate(pieces, start=1):
        before = len(text)
        text += piece
        checked = len(text) if count <= unstoppable else before
        if count <= unstoppable:
            continue
        for each in stop:
            begin = text.find(each, max(0, checked + 1 - len(each)))
            if begin >= 0:
                return text[: begin + len(each) * includes], True
    return text, False


letters = st.text("ab", min_size=1, max_size=3)


@given(st.lists(letters, min_size=1, max_size=2), st.lists(letters, max_size=8), st.booleans(), st.integers(0, 4))
def test_an_answer_ends_where_vllm_ends_it(
    stop: list[str], pieces: list[str], includes: bool, unstoppable: int
) -> None:
    stop_strings = StopStringFilter(stop, includes, unstoppable)
    text = ""
    for token_id, piece in enumerate(pieces):
        text += "".join(more for more, _ in stop_strings.push(piece, token_id))
        if stop_strings.stopped:
            break
    if not stop_strings.stopped:
        text += "".join(more for more, _ in stop_strings.flush())
    expected, stopped = vllms_answer(stop, pieces, includes, unstoppable)
    assert stop_strings.stopped == stopped
    if len(stop) == 1:  # of several in one token vLLM takes the one that was named first
        assert text == expected


@given(letters, st.lists(letters, max_size=8), st.booleans(), st.integers(0, 4), st.data())
def test_going_on_from_anywhere_ends_the_same(
    stop: str, pieces: list[str], includes: bool, unstoppable: int, data: st.DataObject
) -> None:
    whole = StopStringFilter([stop], includes, unstoppable)
    passed: list[tuple[str, tuple[int, ...]]] = []
    for token_id, piece in enumerate(pieces):
        passed += whole.push(piece, token_id)
        if whole.stopped:
            break
    else:
        passed += whole.flush()
    tokens = sum(len(ids) for _, ids in passed)
    cut = data.draw(st.integers(0, tokens))
    rest = StopStringFilter([stop], includes, unstoppable - cut)
    text = "".join(pieces[:cut])
    for token_id, piece in enumerate(pieces[cut:], start=cut):
        text += "".join(more for more, _ in rest.push(piece, token_id))
        if rest.stopped:
            break
    else:
        text += "".join(more for more, _ in rest.flush())
    assert text == "".join(more for more, _ in passed)
