"""Asks both servers and prints what differs, by topic: python -m tests.differential.report [PATTERN ...]

A pattern is a topic (`tools`), a request (`tools/required`) or many (`tools/*named*`). Without one, all are asked.
It exits with 1 when something differs without a reason that is known, or does not differ although it is said to.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.benchmarks.servers import end_on_signals
from tests.differential import expected, setting
from tests.differential.answer import Answer
from tests.differential.case import Case, Mode
from tests.differential.comparing import Difference, compared, differences
from tests.differential.requests import CASES, POOLING_CASES
from tests.differential.servers import Both, Place, both


@dataclass(frozen=True)
class Outcome:
    """What came of one request."""

    case: Case
    mode: Mode
    differences: Sequence[Difference]
    answers: tuple[Answer, Answer]

    @property
    def alike(self) -> bool:
        return not self.differences

    @property
    def known(self) -> str | None:
        return expected.reason(self.case, self.mode)

    @property
    def name(self) -> str:
        return f"{self.case.id}:{self.mode}"


def main() -> int:
    options = _options()
    cases = [case for case in (POOLING_CASES if options.pooling else CASES) if _is_asked(case, options.patterns)]
    if options.list:
        print("\n".join(f"{case.id} ({', '.join(case.modes)})" for case in cases))
        return 0
    end_on_signals()
    theirs = Place(options.vllm) if options.vllm else None
    ours = Place(options.ours, options.key) if options.ours else None
    with tempfile.TemporaryDirectory() as folder, both(Path(folder), setting.chosen(options), theirs, ours) as servers:
        outcomes = list(_ask(servers, cases))
    print("\n".join(_lines(outcomes, every=options.all, whole=options.whole)))
    return 1 if any(_is_wrong(outcome) for outcome in outcomes) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.report", description=__doc__)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="topics, or requests of them")
    parser.add_argument("--list", action="store_true", help="print the requests, and ask nothing")
    parser.add_argument("--all", action="store_true", help="print every difference, not only the first of each request")
    parser.add_argument("--whole", action="store_true", help="print what is compared of both answers where they differ")
    setting.add_options(parser)
    parser.add_argument("--vllm", metavar="URL", help="vLLM's server, where it runs already")
    parser.add_argument("--ours", metavar="URL", help="this system, where it runs already")
    parser.add_argument("--key", help="a key of it")
    return parser.parse_args()


def _is_asked(case: Case, patterns: Sequence[str]) -> bool:
    return not patterns or any(case.topic == each or fnmatchcase(case.id, each) for each in patterns)


def _ask(servers: Both, cases: Sequence[Case]) -> Iterator[Outcome]:
    for case in cases:
        for mode in case.modes:
            answers = servers.ask(case, mode)
            yield Outcome(case, mode, differences(*answers), answers)


def _is_wrong(outcome: Outcome) -> bool:
    return outcome.alike is (outcome.known is not None)


def _lines(outcomes: Sequence[Outcome], every: bool, whole: bool) -> Iterator[str]:
    for outcome in outcomes:
        if not outcome.alike:
            known = f" (known: {outcome.known})" if outcome.known else ""
            yield f"{outcome.name}{known}"
            yield from (f"    {each}" for each in outcome.differences[: None if every else 1])
            if whole:
                theirs, ours = outcome.answers
                yield from (f"    vLLM {compared(theirs)}", f"    ours {compared(ours)}")
        elif outcome.known:
            yield f"{outcome.name} is answered alike, although it is said to differ: {outcome.known}"
    yield from _table(outcomes)


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    asked = Counter(outcome.case.topic for outcome in outcomes)
    alike = Counter(outcome.case.topic for outcome in outcomes if outcome.alike)
    yield f"\n{'topic':<16}{'equal':>6}{'of':>6}"
    for topic, number in asked.items():
        yield f"{topic:<16}{alike[topic]:>6}{number:>6}"
    share = 100 * alike.total() / max(1, asked.total())
    yield f"{'all':<16}{alike.total():>6}{asked.total():>6}  {share:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
