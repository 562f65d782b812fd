"""What many processes count together. Each hands in what it has counted since it did so last, and whoever adds it up
takes each sheet once: nothing is lost or counted twice, but for what a process that dies has not handed in.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

REQUESTS: Final = "requests"
"""By route, method and status code."""
DECISIONS: Final = "limiter_decisions"
"""By bucket, and whether it was `allowed` or `refused`."""
STREAMS: Final = "streams"
"""By how they began: `new` or `resumed`."""
CACHE_TOKENS: Final = "prompt_cache_tokens"
"""By model and kind: all of prompts, those `predicted` in an engine's cache, and the `actual` ones."""
COMMITS: Final = "ledger_commits"
WRITES: Final = "ledger_writes"
COMMIT_SECONDS: Final = "ledger_commit_seconds"
SETTLED: Final = "budget_settled"
"""By unit."""
WEBHOOKS: Final = "webhook_attempts"
"""By what came of them: `delivered`, `failed` (and tried again) or `given_up`."""

ENGINE_TIMES: Final = "engine_times"
"""By model, what took so long, and a bound, `count` or `sum`."""

Counts = Mapping[tuple[str, tuple[str, ...]], float]
"""How often, by a name and the values of its labels."""


class Tally(Struct, frozen=True, array_like=True):
    """How often something was counted: by its name, and the values of its labels."""

    name: str
    labels: tuple[str, ...]
    count: float


class Sheet(Struct, frozen=True):
    """What one process has counted since its last sheet. Its sheets are numbered from 1 on."""

    source: str
    number: int
    tallies: tuple[Tally, ...]

    def counts(self) -> Counts:
        return {(each.name, each.labels): each.count for each in self.tallies}


class Tallies:
    """What one process counts, until it is handed in. `source` names it, and no other that ever was."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._counts: dict[tuple[str, tuple[str, ...]], float] = {}
        self._reached: dict[tuple[str, tuple[str, ...]], float] = {}
        self._handing_in: Sheet | None = None
        self._number = 0

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """It has happened once more, or so often."""
        self._counts[name, labels] = self._counts.get((name, labels), 0) + by

    def reach(self, name: str, *labels: str, total: float) -> None:
        """It has happened so often in all, as this process knows. That it has not is told once, too."""
        before = self._reached.get((name, labels))
        if before is None or total > before:
            self._reached[name, labels] = total
            self.count(name, *labels, by=total - (before or 0))

    def sheet(self) -> Sheet | None:
        """What is to be handed in: the same until it is `taken`. None where there is nothing."""
        if self._handing_in is None and self._counts:
            self._number += 1
            told = tuple(Tally(name, labels, count) for (name, labels), count in self._counts.items())
            self._handing_in = Sheet(self.source, self._number, told)
            self._counts = {}
        return self._handing_in

    def taken(self, sheet: Sheet) -> None:
        """This sheet is in the sums for good."""
        if self._handing_in is not None and self._handing_in.number == sheet.number:
            self._handing_in = None
