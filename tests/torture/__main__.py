"""`python -m tests.torture --seed 1 --minutes 30`: round after round, until one shows that something does not hold."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from tests.torture.invariants import Violation
from tests.torture.not_yet import NOT_YET
from tests.torture.plan import Plan, draw
from tests.torture.rounds import Outcome, play
from tests.torture.shrinking import shrink

HASHES = "PYTHONHASHSEED"


def main() -> int:
    """0 when everything held, 1 when something did not."""
    options = _options()
    injected: Counter[str] = Counter()
    broken, rounds, began_s = 0, 0, time.monotonic()
    for plan in _plans(options, began_s):
        outcome = play(plan)
        rounds += 1
        injected.update(outcome.injected)
        if outcome.violations:
            broken += 1
            _tell(plan, outcome, options.no_shrinking)
            if not options.keep_going:
                break
        if rounds % options.tell_every == 0:
            print(f"{rounds} rounds, {injected.total()} faults, {time.monotonic() - began_s:.0f} s", flush=True)
    _sum_up(injected, rounds, broken, time.monotonic() - began_s)
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next one's is one higher")
    parser.add_argument("--minutes", type=float, default=0.0, help="for so long")
    parser.add_argument("--rounds", type=int, default=0, help="so many rounds, if not for so long")
    parser.add_argument("--faults", type=int, help="only the first so many faults of each plan")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first violation")
    parser.add_argument("--no-shrinking", action="store_true", help="do not look for the fewest faults that show it")
    parser.add_argument("--tell-every", type=int, default=100, metavar="ROUNDS", help="how often to tell of progress")
    return parser.parse_args()


def _plans(options: argparse.Namespace, began_s: float) -> Iterator[Plan]:
    seed = options.seed
    while True:
        if options.minutes and time.monotonic() - began_s >= options.minutes * 60:
            return
        if not options.minutes and seed - options.seed >= (options.rounds or 1):
            return
        plan = draw(seed)
        yield plan if options.faults is None else replace(plan, faults=plan.faults[: options.faults])
        seed += 1


def _tell(plan: Plan, outcome: Outcome, as_it_is: bool) -> None:
    print(f"Seed {plan.seed} breaks what must hold:")
    for violation in outcome.violations:
        print(f"  {violation}")
    if as_it_is:
        print(plan, flush=True)
        return
    print("Looking for the fewest faults that show it ...", flush=True)
    shrunk = shrink(plan, outcome.violations[0], _violations)
    print(shrunk.plan)
    print(f"  -> {shrunk.violation}", flush=True)


def _violations(plan: Plan) -> tuple[Violation, ...]:
    return play(plan).violations


def _sum_up(injected: Counter[str], rounds: int, broken: int, took_s: float) -> None:
    for name, count in sorted(injected.items()):
        print(f"{count:8}  {name}")
    for name, why in NOT_YET.items():
        print(f"     off  {name}: {why}")
    print(f"{rounds} rounds, {injected.total()} faults, {broken} broken, {took_s:.0f} s")


if __name__ == "__main__":
    if HASHES not in os.environ:
        # The order of sets is part of the course that a round takes.
        os.execve(sys.executable, [sys.executable, "-m", "tests.torture", *sys.argv[1:]], {**os.environ, HASHES: "0"})
    sys.exit(main())
