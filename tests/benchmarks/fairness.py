"""How accounts share an engine, in the scenarios of the rule's paper: python -m tests.benchmarks.fairness

The whole control plane in virtual time (`tests/support/shared_system.py`) with one simulated engine, which has 8 slots
and makes 20 tokens a second in each. Nothing depends on this machine. Every scenario is played twice: as it is, and
with all jobs from one account, which is first come first served. After Sheng et al., "Fairness in Serving Large
Language Models" (OSDI 2024).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.benchmarks import report
from tests.support.plain_system import prepare_database
from tests.support.shared_system import SLOTS, TOKEN_S, Loss, Play, Traffic, play
from tests.support.sharing import jain

FLOOD = Traffic("many", 600, spread=50)
TRICKLE = Traffic("few", 12, every_s=7.5, begin_s=2.0)
FLOODS = (Traffic("long", 100, tokens=400), Traffic("short", 3000, tokens=25, spread=10), FLOOD)
WEIGHTS = {"one": 1, "two": 2, "four": 4}
LATE_S = 40.0


class Row(NamedTuple):
    """A number of a scenario: with turns, and first come first served."""

    scenario: str
    what: str
    turns: str
    in_order: str


Player = Callable[..., Play]


def trickle(played: Player) -> Iterator[Row]:
    """One floods, and another asks now and then."""
    alone = max(played([TRICKLE], 100).took("few"))
    turns, in_order = _both(played, [FLOOD, TRICKLE], 100)
    name = "one floods, another trickles"
    yield Row(
        name, "jobs of the other that ended in 100 s, of 12", *(str(len(p.took("few"))) for p in (turns, in_order))
    )
    yield Row(name, f"their longest time to the end, alone {alone:.1f} s", *map(_longest, (turns, in_order)))
    yield Row(name, "their longest wait, alone 0.0 s", *(_seconds(p.waits("few")) for p in (turns, in_order)))


def weighted(played: Player) -> Iterator[Row]:
    """Three that all want more, of weights 1, 2 and 4."""
    traffic = [Traffic(name, 400, spread=50) for name in WEIGHTS]
    both = _both(played, traffic, 130, WEIGHTS)
    served = [p.tokens(30, 130) for p in both]
    name = "weights 1 : 2 : 4"
    yield Row(name, "tokens, as parts of the least", *(_parts([s[n] for n in WEIGHTS]) for s in served))
    yield Row(name, "Jain's index, by weight", *(_index([s[n] / w for n, w in WEIGHTS.items()]) for s in served))


def late(played: Player) -> Iterator[Row]:
    """One floods; another comes with as many after a while."""
    traffic = [Traffic("early", 600, spread=50), Traffic("late", 600, spread=50, begin_s=LATE_S)]
    both = _both(played, traffic, 100)
    for span in ((LATE_S, LATE_S + 10), (LATE_S + 10, 100.0)):
        served = [p.tokens(*span) for p in both]
        what = f"late one's part of the tokens, {span[0]:.0f} to {span[1]:.0f} s"
        yield Row("joining late, at 40 s", what, *(f"{s['late'] / sum(s.values()):.0%}" for s in served))


def lent(played: Player) -> Iterator[Row]:
    """What one does not ask for is anybody's."""
    both = _both(played, [FLOOD, Traffic("few", 10, every_s=10.0)], 100)
    served = [p.tokens(10, 100) for p in both]
    can = 90 / TOKEN_S * SLOTS
    yield Row("idle share is lent", "of what the engine can make", *(f"{sum(s.values()) / can:.0%}" for s in served))
    yield Row("idle share is lent", "of that the flood's", *(f"{s['many'] / sum(s.values()):.0%}" for s in served))


def floods(played: Player) -> Iterator[Row]:
    """Three that all want more, with long jobs, short ones, and many."""
    both = _both(played, FLOODS, 130)
    served = [p.tokens(30, 130) for p in both]
    yield Row("three floods, jobs of 400, 25, 100 tokens", "Jain's index", *(_index(list(s.values())) for s in served))


def lost_schedulers(played: Player) -> Iterator[Row]:
    """Two that want more, with long jobs and short ones, while the Scheduler is killed again and again."""
    indices = []
    for forgets in (False, True):
        losses = [Loss(5.3 + 7 * number, 1.0, forgets) for number in range(18)]
        served = played(FLOODS[:2], 130, losses=losses).tokens(30, 130)
        indices.append(_index(list(served.values())))
    what = f"Jain's index; {indices[1]} where it forgets what accounts have had"
    yield Row("jobs of 400, 25 tokens; Scheduler killed every 7 s", what, indices[0], "-")


SCENARIOS = (trickle, weighted, late, lent, floods, lost_schedulers)


def main() -> None:
    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.db"
        asyncio.run(prepare_database(prepared))

        def played(traffic: Sequence[Traffic], for_s: float, **options: object) -> Play:
            return play(traffic, for_s, prepared=prepared, **options)  # type: ignore[arg-type]

        rows = [row for scenario in SCENARIOS for row in scenario(played)]
    print(report.table(("scenario", "", "accounts take turns", "first come, first served"), rows, text=2))


def _both(
    played: Player, traffic: Sequence[Traffic], for_s: float, weights: dict[str, int] | None = None
) -> tuple[Play, Play]:
    return played(traffic, for_s, weights=weights), played(traffic, for_s, in_order=True)


def _longest(p: Play) -> str:
    return _seconds(p.took("few"))


def _seconds(times: Sequence[float]) -> str:
    return f"{max(times):.1f} s" if times else "none"


def _parts(numbers: Sequence[float]) -> str:
    return " : ".join(f"{number / numbers[0]:.2f}" for number in numbers) if numbers[0] else "none"


def _index(numbers: Sequence[float]) -> str:
    return f"{jain(numbers):.3f}"


if __name__ == "__main__":
    main()
