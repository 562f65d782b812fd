"""What this project wants to reach, and whether it did."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.benchmarks.throughput import loads, names
from tests.benchmarks.throughput.measuring import Measurement
from tests.benchmarks.throughput.results import Results

Compare = Callable[[float, float], float]


@dataclass(frozen=True)
class Target:
    """A figure of ours beside another's: where it is to be, and where it would be better still.

    Measured at each of `clients` in `part`, in an open loop if there is a `share`. More is better, unless
    `less_is_better`.
    """

    what: str
    part: str
    clients: tuple[int, ...]
    other: str
    value: Callable[[Measurement], float]
    compare: Compare
    wanted: float
    stretch: float
    unit: str
    share: float | None = None
    less_is_better: bool = False


@dataclass(frozen=True)
class Outcome:
    """A target at one load: its figure in every round, none if it was not measured."""

    target: Target
    system: str
    clients: int
    figures: Sequence[float]

    @property
    def verdict(self) -> str:
        if not self.figures:
            return "not measured"
        figure, sign = statistics.median(self.figures), -1 if self.target.less_is_better else 1
        if sign * figure >= sign * self.target.stretch:
            return "reached, stretch too"
        return "reached" if sign * figure >= sign * self.target.wanted else "missed"


def outcomes(results: Results) -> list[Outcome]:
    """Every target for our own API, and those for the OpenAI layer that were measured."""
    return [
        Outcome(target, system, clients, figures)
        for target in TARGETS
        for clients in target.clients
        for system in (names.INFERNET, names.INFERNET_CHAT)
        if (figures := _figures(results, target, system, clients)) or system == names.INFERNET
    ]


def _figures(results: Results, target: Target, system: str, clients: int) -> list[float]:
    load = results.find(target.part, clients, target.share)
    pairs = results.paired(load, system, target.other, target.value) if load else []
    return [target.compare(ours, theirs) for ours, theirs in pairs]


def _tokens_per_s(measurement: Measurement) -> float:
    return measurement.tokens_per_s


def _first_text_ms(measurement: Measurement) -> float:
    return 1000 * measurement.first_text.p50


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs


def _difference(ours: float, theirs: float) -> float:
    return ours - theirs


def _percent_more(ours: float, theirs: float) -> float:
    return 100 * (ours / theirs - 1)


def _tokens(part: str, clients: tuple[int, ...], other: str, wanted: float, stretch: float) -> Target:
    return Target("output tokens/s", part, clients, other, _tokens_per_s, _ratio, wanted, stretch, "x")


TARGETS = (
    _tokens(loads.CLIENTS, (64, 128), names.VLLM, 1.0, 1.15),
    _tokens(loads.CLIENTS, (1, 16), names.VLLM, 0.85, 1.0),
    _tokens(loads.SUSTAINED, (32,), names.VLLM, 0.85, 1.0),
    _tokens(loads.CLIENTS, (64, 128), names.VLLM_ROUTER, 1.0, 1.15),
    _tokens(loads.CLIENTS, (64,), names.RAY_SERVE_LLM_TUNED, 1.5, 2.0),
    Target(
        "time to first token, p50, added",
        *(loads.CLIENTS, (1,), names.VLLM, _first_text_ms, _difference, 8.0, 4.0, " ms"),
        less_is_better=True,
    ),
    Target(
        "time to first token, p50, added",
        *(loads.OPEN, (loads.OPEN_CLIENTS,), names.VLLM, _first_text_ms, _percent_more, 15.0, 0.0, " %"),
        share=0.8,
        less_is_better=True,
    ),
)
