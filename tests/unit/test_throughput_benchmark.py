"""The arithmetic of the throughput benchmark: who is compared with whom, and when a target is reached."""

import pytest

from tests.benchmarks.load import OpenLoop
from tests.benchmarks.throughput import loads, names, targets
from tests.benchmarks.throughput.loads import Load
from tests.benchmarks.throughput.measuring import Measurement, Quantiles
from tests.benchmarks.throughput.results import Results

LOAD = Load(loads.CLIENTS, 64, 256, 6.0, (names.VLLM, names.INFERNET))


def measured(round: int, system: str, wall_s: float) -> Measurement:
    """A window of 1,000 tokens in 10 answers."""
    latency = Quantiles(0.01, 0.02, 0.03)
    return Measurement(round, system, LOAD, None, 10, 100, 1000, wall_s, 1.0, 1, 1, 0, 0, 0, 1, latency, latency)


def verdict(ours_s: float, theirs_s: float) -> str:
    """Of the throughput at 64 clients beside vLLM's own server, which is to be 1.0 times it, or better 1.15 times."""
    results = Results([measured(1, names.VLLM, theirs_s), measured(1, names.INFERNET, ours_s)])
    found = [
        outcome
        for outcome in targets.outcomes(results)
        if outcome.target.other == names.VLLM and outcome.clients == 64 and outcome.target.part == loads.CLIENTS
    ]
    assert len(found) == 1
    return found[0].verdict


@pytest.mark.parametrize(
    ("ours_s", "expected"), [(10.1, "missed"), (10.0, "reached"), (9.0, "reached"), (8.0, "reached, stretch too")]
)
def test_a_target_is_reached_when_the_median_ratio_is(ours_s: float, expected: str) -> None:
    assert verdict(ours_s, 10.0) == expected


def test_a_target_without_figures_is_not_measured() -> None:
    assert {outcome.verdict for outcome in targets.outcomes(Results())} == {"not measured"}


def test_only_windows_of_the_same_round_are_compared() -> None:
    results = Results([measured(1, names.VLLM, 10.0), measured(2, names.VLLM, 20.0), measured(2, names.INFERNET, 5.0)])

    assert results.paired(LOAD, names.INFERNET, names.VLLM, lambda m: m.tokens_per_s) == [(200.0, 50.0)]


def test_the_maximum_is_the_median_of_the_windows_so_far() -> None:
    results = Results([measured(round, names.VLLM, wall_s) for round, wall_s in enumerate((5.0, 10.0, 2.0))])

    assert results.maximum_per_s(loads.CLIENTS, 64, names.VLLM) == 2.0
    assert results.maximum_per_s(loads.CLIENTS, 16, names.VLLM) == 0.0


def test_an_open_loop_asks_at_the_same_moments_of_every_system() -> None:
    one, other = OpenLoop(50.0, 256, 10.0, seed=1, name="0001"), OpenLoop(50.0, 256, 10.0, seed=1, name="0002")

    assert one.moments_s() == other.moments_s()
    assert 400 < len(one.moments_s()) < 600
    assert max(one.moments_s()) < 10.0


def test_slow_systems_are_asked_by_few_clients_only() -> None:
    full = loads.full((1, 16, 64), 256, 6.0, names.ALL)

    asked = [load.clients for load in full if load.part == loads.CLIENTS and names.LITELLM in load.systems]
    assert asked == [1, 64]
