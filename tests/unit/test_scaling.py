"""How many replicas a model is to have: more at once, fewer slowly, and why."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cluster.catalogue import Replicas
from cluster.fleet.scaling import Load, ModelScaling, with_room

WINDOW_S, IDLE_S = 60.0, 300
ELASTIC = Replicas(0, 8, idle_s=IDLE_S)


class Model:
    """A model whose replicas are there as soon as they are wanted, or start when they are told to."""

    def __init__(self, bounds: Replicas = ELASTIC, slots: int | None = 4, replicas: int = 0) -> None:
        self.scaling = ModelScaling(bounds, WINDOW_S)
        self.slots = slots
        self.replicas = replicas
        self.starting = 0

    def has(self, waiting: int, running: int = 0, now_s: float = 0.0) -> int:
        """What is wanted with so many jobs."""
        self.scaling.decide(Load(waiting, running, self.replicas, self.starting, self.slots), now_s)
        self.replicas = self.scaling.wanted
        return self.replicas


def test_a_single_job_starts_the_first_replica() -> None:
    subject = Model()
    assert (subject.has(0), subject.scaling.reason) == (0, "no replica: the next job starts one")
    assert subject.has(1) == 1


def test_as_many_as_the_jobs_fill_are_wanted_at_once_and_no_more_than_there_may_be() -> None:
    subject = Model()
    assert subject.has(4) == 1
    assert subject.has(5) == 2
    assert subject.has(13, running=4) == 5
    assert subject.has(1000) == 8


def test_a_replica_is_given_no_more_jobs_than_it_is_meant_to_have() -> None:
    assert Model(Replicas(0, 8, target_jobs=2), slots=16).has(8) == 4
    assert Model(Replicas(0, 8, target_jobs=16), slots=2).has(8) == 4
    assert Model(Replicas(0, 8, target_jobs=2), slots=None).has(8) == 4


def test_one_replica_is_started_where_nobody_knows_what_one_can_do() -> None:
    subject = Model(slots=None)
    assert subject.has(100) == 1
    subject.slots = 4
    assert subject.has(100) == 8


def test_the_first_look_takes_what_is_there_within_bounds() -> None:
    assert Model(replicas=3).has(0) == 3
    assert Model(replicas=30).has(0) == 8
    assert Model(Replicas(2, 8)).has(0) == 2


def test_one_replica_fewer_at_a_time_once_fewer_would_have_been_enough_for_the_whole_window() -> None:
    subject = Model()
    assert subject.has(0, running=16, now_s=0.0) == 4
    assert subject.has(0, running=2, now_s=1.0) == 4
    assert subject.has(0, running=2, now_s=WINDOW_S) == 4  # the sixteen are still in the window
    assert subject.has(0, running=2, now_s=WINDOW_S + 0.5) == 3
    assert subject.has(0, running=2, now_s=WINDOW_S + 1.0) == 2
    assert subject.has(0, running=2, now_s=WINDOW_S + 1.5) == 1
    assert subject.has(0, running=2, now_s=WINDOW_S + 2.0) == 1


def test_a_replica_stays_where_one_fewer_would_be_too_full() -> None:
    subject = Model()
    assert subject.has(5) == 2
    # Three jobs are three quarters of one replica's four slots.
    assert subject.has(0, running=3, now_s=2 * WINDOW_S) == 2
    assert subject.has(0, running=2, now_s=4 * WINDOW_S) == 1


def test_the_more_jobs_there_are_the_smaller_a_share_of_them_is_kept_as_room() -> None:
    assert [with_room(jobs) for jobs in (1, 4, 100, 10_000)] == [2, 6, 110, 10_100]
    subject = Model(Replicas(0, 100), slots=10)
    assert subject.has(0, running=1_000) == 100
    for look in range(100):
        subject.has(0, running=900, now_s=2 * WINDOW_S + look)
    assert subject.replicas == 93  # 900 and 30 of room


def test_jobs_that_pile_up_while_a_replica_starts_want_what_clears_them_in_the_window() -> None:
    subject, now_s, ended = Model(slots=4), 0.0, 0

    def looks(waiting: int, running: int) -> int:
        subject.scaling.decide(Load(waiting, running, subject.replicas, subject.starting, 4, ended), now_s)
        subject.replicas = subject.scaling.wanted
        return subject.replicas

    for _ in range(21):  # jobs of two seconds, one after the other
        looks(0, 1)
        now_s, ended = now_s + 2.0, ended + 1
    subject.starting = 1
    assert looks(4, 0) == 1
    now_s += WINDOW_S
    assert looks(240, 0) == 2  # 240 jobs of two seconds in a minute are eight at once
    assert subject.scaling.reason == "2 replicas: 240 jobs, 240 of them waiting; 4 for each replica; 1 starting"


def test_nothing_is_ended_while_something_starts() -> None:
    subject = Model()
    assert subject.has(16) == 4
    subject.starting = 1
    assert subject.has(0, running=1, now_s=10 * WINDOW_S) == 4
    subject.starting = 0
    assert subject.has(0, running=1, now_s=10 * WINDOW_S + 0.5) == 3


def test_the_last_replica_ends_after_a_time_without_jobs() -> None:
    subject = Model()
    assert subject.has(1, now_s=10.0) == 1
    assert subject.has(0, now_s=10.0 + IDLE_S - 0.5) == 1
    assert subject.scaling.reason == f"1 replica: no job for 300 s of {IDLE_S} s"
    assert subject.has(0, now_s=10.0 + IDLE_S) == 0
    assert Model(Replicas(1, 2, idle_s=1)).has(0, now_s=1000.0) == 1


def test_all_that_are_left_end_after_a_time_without_jobs() -> None:
    subject = Model(Replicas(0, 8, idle_s=20))
    assert subject.has(16) == 4
    assert subject.has(0, now_s=19.5) == 4
    assert subject.has(0, now_s=20.0) == 0


def test_reasons_have_the_numbers() -> None:
    subject = Model()
    subject.has(3, running=6)
    assert subject.scaling.reason == "3 replicas: 9 jobs, 3 of them waiting; 4 for each replica"
    subject.starting = 2
    subject.has(100, running=6)
    assert subject.scaling.reason == (
        "8 replicas, the most there may be: 106 jobs, 100 of them waiting; 4 for each replica; 2 starting"
    )
    subject.starting = 0
    subject.has(0, running=1, now_s=30.0)
    assert subject.scaling.reason == (
        "8 replicas, the most there may be: 1 job, 0 of them waiting; 4 for each replica; "
        "up to 106 jobs in the last 60 s"
    )
    fixed = Model(Replicas(2, 2))
    fixed.has(0)
    assert fixed.scaling.reason == "2 replicas, a fixed number: no jobs"
    least = Model(Replicas(1, 2))
    least.has(0)
    assert least.scaling.reason == "1 replica, the fewest there may be: no jobs"
    least.has(0, running=1)
    assert least.scaling.reason == "1 replica, the fewest there may be: 1 job, 0 of them waiting; 4 for each replica"


def test_a_replica_that_is_given_away_comes_back_when_its_jobs_need_it() -> None:
    subject = Model(Replicas(1, 4))
    subject.has(8)
    assert subject.scaling.can_spare
    subject.scaling.spare()
    assert not subject.scaling.can_spare
    assert subject.has(8, now_s=1.0) == 2


bounds = st.builds(
    lambda least, more, target, idle_s: Replicas(least, max(1, least + more), target, idle_s),
    *(st.integers(0, 3), st.integers(0, 6), st.none() | st.integers(1, 8), st.integers(1, 400)),
)
looks = st.lists(st.tuples(st.sampled_from([0.5, 5.0, 61.0, 400.0]), st.integers(0, 60), st.booleans()), max_size=40)


@given(bounds, st.integers(1, 8), looks)
def test_what_is_wanted_is_within_bounds_serves_who_waits_and_does_not_flap(
    replicas: Replicas, slots: int, looks: list[tuple[float, int, bool]]
) -> None:
    subject, now_s = Model(replicas, slots), 0.0
    history: list[tuple[float, int]] = []
    for pause_s, jobs, starts in looks:
        now_s += pause_s
        subject.starting = int(starts)
        before, wanted = subject.replicas, subject.has(0, running=jobs, now_s=now_s)
        history.append((now_s, jobs))
        each = min(slots, replicas.target_jobs or slots)
        assert replicas.min <= wanted <= replicas.max
        assert wanted == replicas.max or wanted * each >= jobs
        if wanted == 0 < before and len(history) > 1:
            assert not starts
            assert not any(jobs for then_s, jobs in history if then_s > now_s - replicas.idle_s)
        elif wanted < before and len(history) > 1:
            assert wanted == before - 1
            assert not starts
            peak = max(jobs for then_s, jobs in history if then_s >= now_s - WINDOW_S)
            assert with_room(peak) <= wanted * each
    for wait_s in itertools.accumulate([400.0] * 12):
        subject.starting = 0
        subject.has(0, now_s=now_s + wait_s)
    assert subject.replicas == replicas.min
