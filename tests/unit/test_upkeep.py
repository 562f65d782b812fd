"""What the head machine of a cluster starts again, and when. Times are seconds of one clock."""

from itertools import pairwise

import pytest

from api.cli.run.upkeep import Seen, Step, Upkeep

ALL_RUN = Seen(raylet=True, gcs=True, ended=None)
NO_GCS = Seen(raylet=True, gcs=False, ended=None)
FAILED = Seen(raylet=True, gcs=True, ended=1)
KILLED = Seen(raylet=True, gcs=True, ended=-9)
STOPPED = Seen(raylet=True, gcs=True, ended=0)
# Ray leaves a cluster whose gcs_server has been away for so long.
RAY_WAITS_S = 60.0
LOOK_S = 0.5


def starts(upkeep: Upkeep, seen: Seen, until_s: float, from_s: float = 0.0) -> list[tuple[float, Step]]:
    """What it does while it sees the same all the time, and when."""
    looks = [from_s + number * LOOK_S for number in range(int((until_s - from_s) / LOOK_S) + 1)]
    return [(now_s, step) for now_s in looks for step in upkeep.look(seen, now_s)]


def test_nothing_is_done_while_all_runs() -> None:
    assert starts(Upkeep(durable=True, now_s=0.0), ALL_RUN, until_s=1000.0) == []


def test_a_gcs_server_is_started_at_once() -> None:
    assert starts(Upkeep(durable=True, now_s=0.0), NO_GCS, until_s=0.0) == [(0.0, Step.START_GCS)]


def test_one_that_does_not_stay_is_started_many_times_before_ray_gives_up_but_not_without_end() -> None:
    times = [now_s for now_s, _ in starts(Upkeep(durable=True, now_s=0.0), NO_GCS, until_s=RAY_WAITS_S)]
    assert 20 <= len(times) <= 40


def test_one_that_forgets_all_is_not_started_again() -> None:
    """No machine of the cluster would know it."""
    assert starts(Upkeep(durable=False, now_s=0.0), NO_GCS, until_s=RAY_WAITS_S) == []


@pytest.mark.parametrize("ended", [FAILED, KILLED])
def test_the_network_is_started_again_after_a_second(ended: Seen) -> None:
    upkeep = Upkeep(durable=True, now_s=0.0)
    assert starts(upkeep, ended, until_s=1.0) == [(1.0, Step.START_SYSTEM)]


def test_one_that_fails_again_and_again_is_started_ever_less_often() -> None:
    times = [0.0, *(now_s for now_s, _ in starts(Upkeep(durable=True, now_s=0.0), FAILED, until_s=300.0))]
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[:3] == [1.0, 2.5, 4.5]  # a look passes until it is seen to have ended
    assert pauses[-1] <= 30.0 + LOOK_S


def test_one_that_has_worked_for_a_minute_is_started_soon_again() -> None:
    upkeep = Upkeep(durable=True, now_s=0.0)
    *_, (begun_s, _) = starts(upkeep, FAILED, until_s=94.0)
    assert begun_s == 94.0
    assert starts(upkeep, ALL_RUN, from_s=begun_s, until_s=200.0) == []
    assert starts(upkeep, FAILED, from_s=200.0, until_s=201.0) == [(201.0, Step.START_SYSTEM)]


def test_who_was_asked_to_stop_is_not_started_again() -> None:
    assert starts(Upkeep(durable=True, now_s=0.0), STOPPED, until_s=0.0) == [(0.0, Step.LEAVE)]


@pytest.mark.parametrize("gcs", [True, False])
@pytest.mark.parametrize("ended", [None, 1])
def test_without_a_raylet_there_is_nothing_to_keep(gcs: bool, ended: int | None) -> None:
    """`ray stop` ends the raylet first, and gcs_server after it: that one is not missed."""
    upkeep = Upkeep(durable=True, now_s=0.0)
    assert starts(upkeep, Seen(raylet=False, gcs=gcs, ended=ended), until_s=0.0) == [(0.0, Step.LEAVE)]


def test_both_may_be_missing_at_once() -> None:
    upkeep = Upkeep(durable=True, now_s=0.0)
    both = Seen(raylet=True, gcs=False, ended=1)
    assert starts(upkeep, both, until_s=1.0) == [(0.0, Step.START_GCS), (1.0, Step.START_SYSTEM)]
