"""How long engines took, as vLLM counts it of itself, by model: added up over the engines that are and were.

Names and bounds are vLLM's: https://docs.vllm.ai/en/stable/usage/metrics/
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cluster.measures.histogram import Histogram
from cluster.measures.tallies import ENGINE_TIMES, Tallies, Tally

FIRST_TOKEN: Final = "time_to_first_token_seconds"
INTER_TOKEN: Final = "inter_token_latency_seconds"
WHOLE: Final = "e2e_request_latency_seconds"
QUEUE: Final = "request_queue_time_seconds"
PREFILL: Final = "request_prefill_time_seconds"
DECODE: Final = "request_decode_time_seconds"

_SHORT_S: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKEN_S: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_WAIT_S: Final = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0)
_REQUEST_S: Final = (*_WAIT_S, 240.0, 480.0, 960.0, 1920.0, 7680.0)

BOUNDS: Final[Mapping[str, tuple[float, ...]]] = {
    FIRST_TOKEN: (*_SHORT_S, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
    INTER_TOKEN: (*_TOKEN_S, 20.0, 40.0, 80.0),
    WHOLE: _REQUEST_S,
    QUEUE: _REQUEST_S,
    PREFILL: _REQUEST_S,
    DECODE: _REQUEST_S,
}

Times = Mapping[str, Histogram]
"""By what took so long."""

_COUNT, _SUM = "count", "sum"


def count(tallies: Tallies, model: str, times: Times) -> None:
    """An engine of this model has counted these in all, as its process knows."""
    for name, told in times.items():
        for bound, number in [*told.counts.items()]:
            tallies.reach(ENGINE_TIMES, model, name, repr(bound), total=number)
        tallies.reach(ENGINE_TIMES, model, name, _COUNT, total=told.count)
        tallies.reach(ENGINE_TIMES, model, name, _SUM, total=told.sum)


def by_model(tallies: Iterable[Tally]) -> Iterator[tuple[str, str, Histogram]]:
    """What was so counted by all engines together: what, of which model, and how it is spread."""
    found: dict[tuple[str, str], Histogram] = {}
    for each in tallies:
        if each.name == ENGINE_TIMES:
            model, name, what = each.labels
            _put(found.setdefault((name, model), Histogram()), what, each.count)
    for (name, model), told in found.items():
        yield name, model, told


def _put(histogram: Histogram, what: str, number: float) -> None:
    match what:
        case "count":
            histogram.count = int(number)
        case "sum":
            histogram.sum = number
        case bound:
            histogram.counts[float(bound)] = int(number)
