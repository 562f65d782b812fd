"""The rules in virtual time: a load that steps, machines that come and go, and what is refused."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.catalogue import Replicas
from cluster.simulation.placing import RoundRobin
from cluster.simulation.results import Result, quantile
from cluster.simulation.shapes import AZURE_CODE, BURSTGPT, Demand, draw
from cluster.simulation.simulation import NO_MACHINE, QUEUE_FULL, TOO_LATE, Terms
from cluster.simulation.sizing import Fixed, Planned
from cluster.simulation.traffic import Request, Traffic
from tests.support.simulating import EVEN, MACHINE, START_S, WINDOW_S, Stage, jobs

TICK_S = Terms().tick_s


def steady(concurrent: int, from_s: int, to_s: int) -> list[Request]:
    """So many jobs at any time, one after the other in each place: no chance in it."""
    return [job for at_s in range(from_s, to_s, 10) for job in jobs(concurrent, at_s)]


def poisson(per_s: float, to_s: float, seed: int = 1) -> list[Request]:
    rng, at_s, found = random.Random(seed), 0.0, []
    while (at_s := at_s + rng.expovariate(per_s)) < to_s:
        found += jobs(1, at_s, output_tokens=rng.randrange(20, 300), account=rng.randrange(5))
    return found


# A load that steps -----------------------------------------------------------------------------------------------


def test_replicas_follow_a_tenfold_step_within_one_decision_and_a_start_and_go_back_to_no_machine() -> None:
    subject = Stage(terms=Terms(sample_s=TICK_S))
    result = subject.run([*steady(4, 0, 600), *steady(40, 600, 1200), *steady(4, 1200, 1800)])
    before = [moment for moment in result.moments if 300 <= moment.at_s < 600]
    assert {moment.ready for moment in before} == {2}  # four jobs fill one; the other is spare room
    ready_at_s = next(moment.at_s for moment in result.moments if moment.ready * EVEN.slots >= 40)
    assert ready_at_s <= 600 + TICK_S + START_S + TICK_S  # the last: when it was looked at
    after = [moment for moment in result.moments if 1200 + 2 * WINDOW_S + 10 <= moment.at_s < 1800]
    assert max(moment.ready for moment in after) == 2
    assert result.moments[-1].machines == result.moments[-1].replicas == 0
    assert result.ended_s <= 1800 + 10 + 300 + MACHINE.idle_s + 2 * TICK_S
    assert result.completed == 60 * 4 + 60 * 40 + 60 * 4


def test_nothing_flaps_after_a_step() -> None:
    """No replica is started again once the load is even: up, down by ones, and no more."""
    subject = Stage()
    subject.run([*steady(40, 0, 1200), *steady(4, 1200, 2400)])
    changes = [(at_s, before, after) for (_, before), (at_s, after) in pairwise([(0.0, 0), *subject.sizes()])]
    up_s = [at_s for at_s, before, after in changes if after > before]
    down_s = [at_s for at_s, before, after in changes if after < before]
    assert max(up_s) < START_S + WINDOW_S < min(down_s)
    assert all(after in (before - 1, 0) for _, before, after in changes if after < before)


def test_jobs_that_pile_up_during_a_start_do_not_each_get_a_slot() -> None:
    """Ten jobs of a second each come every second: ten slots are busy, that is three replicas, whatever waits."""
    before = [job for at_s in range(20) for job in jobs(1, 100.0 + at_s, output_tokens=10)]
    short = [job for at_s in range(700, 1900) for job in jobs(10, float(at_s), output_tokens=10)]
    subject = Stage()
    subject.run([*before, *short])
    # 900 wait when the first replica is ready: not each wants a slot of its own, for each slot serves many in a minute.
    most = max(replicas for _, replicas in subject.sizes())
    assert 3 < most <= 10


def test_a_drained_replica_hands_on_what_it_has_not_ended_in_time() -> None:
    long = jobs(1, 0.0, output_tokens=10_000)
    subject = Stage(
        Replicas(0, 20, drain_s=5), sizing=Planned([(0.0, 2), (500.0, 1)]), terms=Terms(job_timeout_s=9_999)
    )
    result = subject.run([*long, *jobs(1, 100.0, output_tokens=9_000)], until_s=1500)
    assert (result.completed, result.moved) == (2, 1)
    assert subject.sizes() == [(0.0, 2), (500.0, 1)]


# What is refused, and what waits ---------------------------------------------------------------------------------


def test_what_is_refused_says_why() -> None:
    full = Stage(max_queue=10)
    assert full.run(jobs(15, 0.0)).refused() == {QUEUE_FULL: 5}
    slow = Stage(sizing=Fixed(1), terms=Terms(job_timeout_s=20))
    # The 90 s of the start do not count. Jobs have waited for 20 s more when the third four could begin.
    result = slow.run(jobs(40, 1.0), until_s=500)
    assert result.refused() == {TOO_LATE: 40 - result.completed}
    assert result.completed == 8
    assert Stage(gpus=8).run(jobs(3, 0.0)).refused() == {NO_MACHINE: 3}


def test_replicas_beyond_the_last_machine_wait_for_room() -> None:
    result = Stage(most_machines=1).run(jobs(40, 0.0))
    assert result.models["m"].most_replicas() == 2
    assert max(moment.machines for moment in result.moments) == 1
    assert result.completed == 40


def test_accounts_take_turns_where_jobs_wait() -> None:
    flood, one = jobs(60, 0.0, account=0), jobs(1, 10.0, account=1)
    in_turns = Stage(sizing=Fixed(1)).run([*flood, *one], until_s=400)
    in_order = Stage(sizing=Fixed(1), terms=Terms(turns=False)).run([*flood, *one], until_s=400)
    assert in_turns.completed == in_order.completed == 61
    # It begins beside the first of the flood, rather than after all of it: it is the shortest wait but for the start.
    assert sorted(in_turns.models["m"].waits_s)[0] == pytest.approx(START_S - 10 + TICK_S, abs=11)
    assert sorted(in_order.models["m"].waits_s)[0] == pytest.approx(START_S, abs=1)


def test_round_robin_looks_at_nothing_but_room() -> None:
    requests = poisson(1.0, 2_000)
    circle = Stage(sizing=Fixed(5), placing=RoundRobin()).run(requests, until_s=2_000)
    ranked = Stage(sizing=Fixed(5)).run(requests, until_s=2_000)
    assert circle.completed == ranked.completed == len(requests)


# The whole -------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_day() -> None:
    demands = [Demand(300, AZURE_CODE, shape=0.4), Demand(200, BURSTGPT, shape=0.5, hours=(0.0, 3_600.0))]

    def day(seed: int) -> tuple[list[Request], list[Request]]:
        return list(draw(demands, 50, seed, 7_200)), list(draw(demands, 50, seed + 1, 7_200))

    assert day(7) == day(7)
    assert day(7)[0] != day(7)[1]
    requests = [request._replace(model=0) for request in day(7)[0]]
    first, second = Stage().run(requests), Stage().run(requests)
    assert (first.models, first.moments, first.gpu_hours) == (second.models, second.moments, second.gpu_hours)


def test_at_the_same_gpu_hours_fixed_replicas_make_jobs_wait_longer() -> None:
    quiet, busy = (
        poisson(0.2, 3_000, seed=2),
        [r._replace(arrived_s=r.arrived_s + 3_000) for r in poisson(2.0, 1_500, 3)],
    )
    requests = [*quiet, *busy]
    ours = Stage().run(requests)
    replicas = round(ours.gpu_hours * 3600 / 4_500 / 2)
    fixed = Stage(sizing=Fixed(replicas)).run(requests, until_s=4_500)
    assert fixed.gpu_hours == pytest.approx(ours.gpu_hours, rel=0.15)
    assert quantile(ours.waits_s(), 0.99) < quantile(fixed.waits_s(), 0.99) / 2


def test_traffic_comes_in_its_order() -> None:
    with pytest.raises(ValueError, match=r"a request of second 1\.0 comes after one of second 2\.0"):
        Traffic(["m"], ["a"], [*jobs(1, 2.0), *jobs(1, 1.0)])


arrivals = st.lists(
    st.tuples(st.floats(0, 900), st.integers(1, 30), st.integers(1, 400), st.integers(0, 3)), min_size=1, max_size=25
)


@settings(max_examples=40, deadline=None)
@given(arrivals, st.integers(0, 2), st.integers(1, 6), st.integers(0, 40), st.none() | st.integers(1, 3))
def test_whatever_comes_every_job_ends_or_is_refused_and_every_machine_goes(
    bursts: list[tuple[float, int, int, int]], least: int, more: int, drain_s: int, most_machines: int | None
) -> None:
    requests = [job for at_s, number, tokens, account in bursts for job in jobs(number, at_s, tokens, account)]
    stage = Stage(Replicas(least, least + more, drain_s=drain_s, idle_s=50), max_queue=200, most_machines=most_machines)
    result: Result = stage.run(requests, until_s=2_000.0 if least else None)
    assert result.completed + result.refused().total() == len(requests)
    assert all(wait_s >= 0 for wait_s in result.waits_s())
    assert len(result.waits_s()) == result.completed
    assert max(replicas for _, replicas in stage.sizes()) <= least + more
    assert result.gpu_hours <= result.machine_gpu_hours + 1e-9
    if not least:
        assert stage.sizes()[-1][1] == 0
        assert result.moments[-1].machines <= max(1, result.peak().machines)
