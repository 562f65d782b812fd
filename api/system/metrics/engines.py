"""What vLLM counts of itself in each engine, under its own names: https://docs.vllm.ai/en/stable/usage/metrics/

Its histograms are told of a model: those of every engine would be more than all the rest, and go with it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import Metric

from api.system.metrics.families import counter, gauge, histogram
from cluster.measures import engine_times
from cluster.measures.tallies import Tally
from cluster.messages.machines import EngineFigures, EngineReport

_LABELS: Final = ("model_name", "engine")

_GAUGES: Final = {
    "num_requests_running": "Number of requests in model execution batches.",
    "num_requests_waiting": "Number of requests waiting to be processed.",
    "kv_cache_usage_perc": "KV-cache usage. 1 means 100 percent usage.",
}
_COUNTERS: Final = {
    "prefix_cache_queries": "Prefix cache queries, in terms of number of queried tokens.",
    "prefix_cache_hits": "Prefix cache hits, in terms of number of cached tokens.",
    "mm_cache_queries": "Multi-modal cache queries, in terms of number of queried items.",
    "mm_cache_hits": "Multi-modal cache hits, in terms of number of cached items.",
    "num_preemptions": "Cumulative number of preemption from the engine.",
    "prompt_tokens": "Number of prefill tokens processed.",
    "prompt_tokens_cached": "Number of cached prompt tokens (local + external).",
    "generation_tokens": "Number of generation tokens processed.",
    "spec_decode_num_drafts": "Number of spec decoding drafts.",
    "spec_decode_num_draft_tokens": "Number of draft tokens.",
    "spec_decode_num_accepted_tokens": "Number of accepted tokens.",
}


_TIMES: Final = {
    engine_times.FIRST_TOKEN: "Histogram of time to first token in seconds.",
    engine_times.INTER_TOKEN: "Histogram of inter-token latency in seconds.",
    engine_times.WHOLE: "Histogram of e2e request latency in seconds.",
    engine_times.QUEUE: "Histogram of time spent in WAITING phase for request.",
    engine_times.PREFILL: "Histogram of time spent in PREFILL phase for request.",
    engine_times.DECODE: "Histogram of time spent in DECODE phase for request.",
}


def times(tallies: Iterable[Tally]) -> Iterator[Metric]:
    """How long they took, of all engines that each model has and had; nothing where no backend counts that."""
    told = list(engine_times.by_model(tallies))
    for name, about in _TIMES.items():
        if of_models := [((model,), spread) for named, model, spread in told if named == name]:
            yield histogram(f"vllm:{name}", about, ("model_name",), of_models, engine_times.BOUNDS[name])


def figures(engines: Sequence[EngineReport]) -> Iterator[Metric]:
    """The figures of those engines whose backend counts any; nothing where none does."""
    told = [((each.model, each.id), each.figures) for each in engines if each.figures is not None]
    if not told:
        return
    for name, about in _GAUGES.items():
        yield gauge(f"vllm:{name}", about, _LABELS, [(labels, _figure(of, name)) for labels, of in told])
    for name, about in _COUNTERS.items():
        yield counter(f"vllm:{name}", about, _LABELS, [(labels, _figure(of, name)) for labels, of in told])
    finished = [
        ((*labels, reason), count) for labels, of in told for reason, count in sorted(of.request_success.items())
    ]
    about = "Count of successfully processed requests."
    yield counter("vllm:request_success", about, (*_LABELS, "finished_reason"), finished)


def _figure(of: EngineFigures, name: str) -> float:
    return float(getattr(of, name))
