"""What was measured, and questions to it."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.throughput.loads import Load
from tests.benchmarks.throughput.measuring import Measurement

Value = Callable[[Measurement], float]


@dataclass(frozen=True)
class Failure:
    """A window that gave no figures, and why."""

    round: int
    system: str
    load: Load
    reason: str


@dataclass
class Results:
    """All windows, the failed ones apart. `absent` are the systems that did not start, each with the reason."""

    measurements: list[Measurement] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    def windows(self, load: Load, system: str) -> list[Measurement]:
        """Of one load on one system, in the order of the rounds."""
        return [m for m in self.measurements if m.load == load and m.system == system]

    def loads(self, part: str) -> list[Load]:
        """Those of a part of the run that gave figures."""
        return list(dict.fromkeys(m.load for m in self.measurements if m.load.part == part))

    def find(self, part: str, clients: int, share: float | None = None) -> Load | None:
        """The load of a part with so many clients, or at that share of the maximum, if it gave figures."""
        found = [load for load in self.loads(part) if load.clients == clients and load.share == share]
        return found[0] if found else None

    def systems(self) -> list[str]:
        """Those that gave figures."""
        return list(dict.fromkeys(m.system for m in self.measurements))

    def paired(self, load: Load, system: str, other: str, value: Value) -> list[tuple[float, float]]:
        """The values of two systems, for every round that has both."""
        theirs = {m.round: value(m) for m in self.windows(load, other)}
        return [(value(m), theirs[m.round]) for m in self.windows(load, system) if m.round in theirs]

    def maximum_per_s(self, part: str, clients: int, system: str) -> float:
        """Answers per second so far, of a system in a closed loop. 0 when it has not been measured."""
        load = self.find(part, clients)
        windows: Sequence[Measurement] = self.windows(load, system) if load else []
        return statistics.median([m.answers_per_s for m in windows]) if windows else 0.0
