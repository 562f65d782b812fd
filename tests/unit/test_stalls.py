"""Engines that answer and do not generate, told from those that take their time."""

import pytest
from msgspec.structs import replace

from cluster.ids import EngineId, NodeId
from cluster.liveness.stalls import PREFILL_TOKENS_PER_S, Progress
from cluster.messages.machines import EngineReport
from cluster.timing import Timing

TIMING = Timing()
STALL_S, FIRST_STEP_S = TIMING.stall_s, TIMING.hang_s
REPORT = EngineReport(EngineId("m/0"), "m", NodeId("n"), "ready", steps=10, generating=3)


class Looks:
    """An engine looked at once a second. `took_s` is how long it takes to answer."""

    def __init__(self, timing: Timing = TIMING) -> None:
        self.progress = Progress(timing)
        self.now_s = 0.0

    def look(self, report: EngineReport, after_s: float = 1.0, took_s: float = 0.01) -> bool:
        self.now_s += after_s
        return self.progress.stalls(report, self.now_s - took_s, self.now_s)

    def stalls_after_s(self, report: EngineReport, most_s: int = 1000, took_s: float = 0.01) -> int | None:
        """How many seconds of the same report it takes until the engine is taken for stuck."""
        return next((second for second in range(1, most_s) if self.look(report, took_s=took_s)), None)


def test_an_engine_that_steps_no_more_is_stuck_well_within_10_s() -> None:
    looks = Looks()
    for steps in range(1, 20):
        assert not looks.look(replace(REPORT, steps=steps))
    assert looks.stalls_after_s(replace(REPORT, steps=19)) == STALL_S


def test_an_engine_without_anything_to_generate_rests() -> None:
    looks = Looks()
    idle = replace(REPORT, generating=0)
    assert looks.stalls_after_s(idle) is None
    # What it is given then has its whole time.
    assert not looks.look(REPORT)
    assert looks.stalls_after_s(REPORT) == STALL_S


def test_one_step_is_enough() -> None:
    looks = Looks()
    for steps in range(1, 50):
        for _ in range(int(STALL_S) - 1):
            assert not looks.look(replace(REPORT, steps=steps))


def test_a_long_prompt_is_read_as_long_as_it_takes() -> None:
    prompt_s = 60
    reading = replace(REPORT, prefill_tokens=int(prompt_s * PREFILL_TOKENS_PER_S))
    looks = Looks()
    assert not looks.look(REPORT)  # it came after this
    assert looks.stalls_after_s(reading) == STALL_S + prompt_s


def test_prompts_that_come_to_an_engine_that_is_stuck_give_it_no_more_time() -> None:
    looks = Looks()
    assert not looks.look(REPORT)
    for second in range(1, int(STALL_S)):
        assert not looks.look(replace(REPORT, prefill_tokens=100_000 if second > 1 else 0))
    assert looks.look(replace(REPORT, prefill_tokens=100_000))


def test_the_first_step_after_loading_has_longer() -> None:
    looks = Looks()
    first = replace(REPORT, steps=0)
    assert not looks.look(first)
    assert looks.stalls_after_s(first) == FIRST_STEP_S


def test_what_steps_slowly_by_nature_is_given_more_time() -> None:
    looks = Looks()
    for steps in range(3):
        for _ in range(int(STALL_S)):
            assert not looks.look(replace(REPORT, steps=10 + steps))
    limit_s = looks.stalls_after_s(replace(REPORT, steps=12))
    assert limit_s is not None and limit_s > STALL_S


def test_an_engine_of_which_nothing_is_known_has_no_more_than_its_time() -> None:
    looks = Looks(replace(TIMING, stall_s=1.0))
    assert looks.progress.stalled_s == 0.0
    assert not looks.look(REPORT)
    assert looks.stalls_after_s(REPORT) == 1


def test_who_is_answered_within_half_a_second_is_not_on_a_busy_machine() -> None:
    looks = Looks()
    assert not looks.look(REPORT, took_s=0.5)
    assert looks.stalls_after_s(REPORT, took_s=0.5) == STALL_S


@pytest.mark.parametrize("took_s", [0.6, 5.0])
def test_time_on_a_busy_machine_does_not_count(took_s: float) -> None:
    looks = Looks()
    assert not looks.look(REPORT)
    assert looks.stalls_after_s(REPORT, took_s=took_s) is None


@pytest.mark.parametrize("heartbeat_s", [0.5, 1.0])
def test_a_look_that_comes_late_does_not_stand_for_the_time_it_is_late(heartbeat_s: float) -> None:
    looks = Looks(replace(TIMING, heartbeat_s=heartbeat_s))
    assert not looks.look(REPORT)
    assert not looks.look(REPORT, after_s=100.0)
    assert looks.progress.stalled_s == 2 * heartbeat_s
