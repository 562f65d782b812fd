"""A process that hangs is told from one that waits for its turn, by what the kernel says of it."""

import pytest
from msgspec.structs import replace

from cluster.liveness.silence import Silence, Vitals, seen_from
from cluster.timing import Timing

TIMING = Timing(pulse_s=1.0, stopped_s=2.0, stuck_s=4.0)
ASLEEP = Vitals(pid=7, born_s=100.0, stopped=False, busy_s=5.0, queued_s=1.0, hindered=False)
STOPPED = replace(ASLEEP, stopped=True)


def looks_until_it_hangs(*seen: Vitals, every_s: float = 1.0) -> int | None:
    """The number of the look at which it is certain; None when it never is."""
    silence = Silence(TIMING)
    for number, vitals in enumerate(seen):
        if silence.hangs(vitals, 50.0 + number * every_s):
            return number
    return None


def grown(busy_s: float = 0.0, queued_s: float = 0.0, looks: int = 30, **fields: bool) -> list[Vitals]:
    """A process that uses, and stands in line for, so much of every second."""
    return [
        replace(ASLEEP, busy_s=5.0 + busy_s * number, queued_s=1.0 + queued_s * number, **fields)
        for number in range(looks)
    ]


def test_a_stopped_process_hangs() -> None:
    assert looks_until_it_hangs(*[STOPPED] * 9) == 2


def test_one_that_does_nothing_though_it_could_hangs() -> None:
    assert looks_until_it_hangs(*grown()) == 4


def test_its_other_threads_may_do_a_little() -> None:
    assert looks_until_it_hangs(*grown(queued_s=0.1)) == 4


@pytest.mark.parametrize(
    "seen",
    [
        grown(busy_s=0.1),
        grown(queued_s=0.9),
        grown(hindered=True),
        [replace(vitals, queued_s=None) for vitals in grown()],
    ],
    ids=["it works", "it stands in line", "it waits for a disk", "the kernel tells nothing of queues"],
)
def test_one_that_is_kept_from_answering_does_not(seen: list[Vitals]) -> None:
    assert looks_until_it_hangs(*seen) is None


def test_who_watches_has_to_get_its_turn_too() -> None:
    """An answer may have arrived where nobody has had the time to hear it."""
    starved = [seen_from(watching, ASLEEP) for watching in grown(queued_s=0.9)]
    assert looks_until_it_hangs(*starved) is None
    at_ease = [seen_from(watching, ASLEEP) for watching in grown(busy_s=0.5)]
    assert looks_until_it_hangs(*at_ease) == 4
    assert seen_from(None, ASLEEP) == ASLEEP


def test_where_the_kernel_tells_nothing_of_one_of_the_two_nothing_is_added() -> None:
    untold = replace(ASLEEP, queued_s=None)
    assert seen_from(untold, ASLEEP) == ASLEEP
    assert seen_from(ASLEEP, untold) == untold


@pytest.mark.parametrize("at", [0, 1])
def test_one_that_was_kept_from_answering_at_every_other_look_does_not(at: int) -> None:
    """What it did in between is not known for any of these spans of time."""
    hindered = [replace(vitals, hindered=number % 2 == at) for number, vitals in enumerate(grown())]
    assert looks_until_it_hangs(*hindered) is None
    untold = [replace(vitals, queued_s=None if number % 2 == at else 1.0) for number, vitals in enumerate(grown())]
    assert looks_until_it_hangs(*untold) is None


def test_two_looks_at_one_moment_are_as_good_as_one() -> None:
    silence = Silence(TIMING)
    looks_s = [50.0, 51.0, 52.0, 52.0, 53.0, 53.0]
    assert not any(silence.hangs(ASLEEP, now_s) for now_s in looks_s)
    assert silence.hangs(ASLEEP, 54.0)


def test_one_that_is_stopped_for_a_moment_does_not() -> None:
    moments = [[*grown(busy_s=0.5, looks=number + 1)[-1:], STOPPED, STOPPED] for number in range(9)]
    assert looks_until_it_hangs(*(vitals for moment in moments for vitals in moment)) is None


def test_a_turn_at_the_processor_begins_the_count_anew() -> None:
    at_work = replace(ASLEEP, busy_s=6.0)
    assert looks_until_it_hangs(ASLEEP, ASLEEP, ASLEEP, at_work, at_work, at_work, at_work, at_work) == 7


def test_another_process_begins_anew() -> None:
    new = replace(STOPPED, pid=8)
    assert looks_until_it_hangs(STOPPED, STOPPED, new, new, new) == 4
    reborn = replace(STOPPED, born_s=101.0)
    assert looks_until_it_hangs(STOPPED, STOPPED, reborn, reborn, reborn) == 4


def test_what_was_heard_meanwhile_begins_anew() -> None:
    silence = Silence(TIMING)
    assert not silence.hangs(STOPPED, 50.0)
    assert not silence.hangs(STOPPED, 51.0)
    silence.end()
    assert not silence.hangs(STOPPED, 52.0)


def test_a_look_that_comes_late_is_not_evidence_for_all_that_time() -> None:
    """A machine that was paused finds all its processes silent when it goes on."""
    silence = Silence(TIMING)
    assert not silence.hangs(ASLEEP, 50.0)
    assert not silence.hangs(ASLEEP, 950.0)
    assert not silence.hangs(ASLEEP, 951.0)
    assert silence.hangs(ASLEEP, 952.0)


def test_a_late_look_stands_for_two_and_no_more_however_often_it_is_looked() -> None:
    silence = Silence(replace(TIMING, pulse_s=0.5))
    assert not any(silence.hangs(ASLEEP, now_s) for now_s in (50.0, 950.0, 1850.0, 2750.0))
    assert silence.hangs(ASLEEP, 3650.0)
