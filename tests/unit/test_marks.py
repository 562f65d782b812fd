"""How far the durable marks run ahead of what was used."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.limits import marks
from cluster.limits.windows import Window

MINUTE = 60


def window(used: int, number: int = 7) -> Window:
    return Window(MINUTE, number, used)


def ahead(used: int, mark: Window, ceiling: int) -> Window:
    (moved,) = marks.ahead((window(used),), (mark,), (ceiling,))
    return moved


def test_a_mark_moves_a_block_ahead_when_half_a_block_is_left() -> None:
    assert ahead(1, window(0), 600) == window(11)
    assert ahead(5, window(11), 600) == window(11)
    assert ahead(6, window(11), 600) == window(16)


def test_a_block_is_a_quarter_of_what_was_used() -> None:
    assert ahead(200, window(0), 600) == window(250)
    assert ahead(201, window(0), 600) == window(251)  # in whole takes
    assert ahead(220, window(250), 600) == window(250)
    assert ahead(228, window(250), 600) == window(285)
    assert ahead(400, window(0), 600) == window(460)  # and no more than a tenth of the ceiling


def test_many_crashes_cost_who_uses_little_little() -> None:
    used, ceiling = 20, 1_000_000
    for _ in range(10):
        used = ahead(used + 1, window(used), ceiling).used  # where the next process begins
    assert used < 300


def test_a_mark_never_passes_the_ceiling() -> None:
    assert ahead(590, window(595), 600) == window(600)
    assert ahead(600, window(600), 600) == window(600)
    assert ahead(1, window(0), 1) == window(1)


def test_a_mark_covers_what_was_used_however_much_came_at_once() -> None:
    assert ahead(480, window(12), 600) == window(540)
    assert ahead(600, window(12), 600) == window(600)


def test_a_mark_of_another_minute_covers_nothing() -> None:
    old = window(600, number=6)
    assert not marks.covered((window(1),), (old,))
    assert marks.covered((window(0),), (old,))
    assert ahead(1, old, 600) == window(11)


def test_a_lowered_ceiling_takes_no_mark_back() -> None:
    assert ahead(50, window(60), 10) == window(60)
    assert ahead(70, window(60), 10) == window(70)
    assert ahead(98, window(103), 100) == window(103)


def test_until_a_write_is_answered_the_lower_mark_of_a_window_holds() -> None:
    assert marks.certain((window(60),), (window(31),)) == (window(31),)
    assert marks.certain((window(60),), (window(91),)) == (window(60),)
    assert marks.certain((window(60, number=6),), (window(5),)) == (window(60, number=6),)


@given(
    amounts=st.lists(st.integers(1, 40), max_size=60),
    ceiling=st.integers(1, 300),
)
def test_marks_that_follow_the_use_always_cover_it_and_are_at_most_a_block_ahead(
    amounts: list[int], ceiling: int
) -> None:
    used, known, moves = 0, (window(0),), 0
    for amount in amounts:
        used = min(ceiling, used + amount)
        moved = marks.ahead((window(used),), known, (ceiling,))
        moves += moved != known
        known = moved
        assert marks.covered((window(used),), known)
        assert known[0].used <= min(ceiling, used + max(1, ceiling // 10))
    assert moves <= 2 * 10 + 2 or ceiling < 20


@pytest.mark.parametrize(
    "rule",
    [
        lambda: marks.covered((window(1),), ()),
        lambda: marks.ahead((window(1),), (window(1),), ()),
        lambda: marks.certain((window(1),), ()),
    ],
)
def test_windows_and_marks_belong_together(rule: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="shorter"):
        rule()
