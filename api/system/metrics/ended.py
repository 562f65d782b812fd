"""What ended jobs tell, added up by the Ledger since it does so, whoever was restarted meanwhile."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, get_args

from prometheus_client import Metric

from api.system.metrics.families import Labels, counter, histogram
from cluster.errors import (
    ContextLengthExceeded,
    EngineFailed,
    JobCancelled,
    JobTimeout,
    ModelNotFound,
    NoCapacity,
    NodeDisconnected,
)
from cluster.limits.pricing import MILLION
from cluster.measures import buckets
from cluster.measures.histogram import Histogram
from cluster.measures.measures import Counted
from cluster.messages.placements import MovedBy

_GEN_AI: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_PROVIDER: Final = "infernet"
_ERRORS: Final = (
    ContextLengthExceeded,
    ModelNotFound,
    NoCapacity,
    JobCancelled,
    JobTimeout,
    NodeDisconnected,
    EngineFailed,
)
_CAUSES: Final = ("new job", *get_args(MovedBy), "unknown")
_KINDS: Final = ("prompt", "completion", "cached", "reasoning")


class EndedJobs:
    """The metrics of ended jobs, of these `models` and of others that left the catalogue."""

    def __init__(self, counted: Sequence[Counted], models: Iterable[str]) -> None:
        self._counted = counted
        self._models = list(dict.fromkeys([*models, *(each.model for each in counted)]))

    def collect(self) -> Iterator[Metric]:
        yield self._jobs()
        yield self._failures()
        yield self._tokens()
        yield self._cost()
        yield self._attempts()
        yield from self._times()
        yield from self._gen_ai()

    def _jobs(self) -> Metric:
        """A model of which nothing has ended has counted to 0."""
        jobs = Counter({(model, outcome): 0 for model in self._models for outcome in ("completed", "failed")})
        for each in self._counted:
            jobs[each.model, "completed"] += each.measures.completed
            jobs[each.model, "failed"] += sum(each.measures.failures.values())
        return counter("infernet_jobs", "Jobs that have ended.", ("model", "outcome"), jobs.items())

    def _failures(self) -> Metric:
        """Those that a job can fail with are told from the start: what rises from nothing shows in no rate."""
        failed = Counter({(model, error.code): 0 for model in self._models for error in _ERRORS})
        for each in self._counted:
            failed.update({(each.model, error): count for error, count in each.measures.failures.items()})
        return counter("infernet_jobs_failed", "Jobs that have failed, by error.", ("model", "error"), failed.items())

    def _tokens(self) -> Metric:
        tokens = Counter({(model, kind): 0 for model in self._models for kind in _KINDS})
        for each in self._counted:
            for kind in _KINDS:
                tokens[each.model, kind] += getattr(each.measures, f"{kind}_tokens")
        about = "Tokens of jobs that have ended. Cached ones are of the prompts, reasoning ones of the completions."
        return counter("infernet_tokens", about, ("model", "kind"), tokens.items())

    def _cost(self) -> Metric:
        costs = Counter(dict.fromkeys(self._models, 0))
        for each in self._counted:
            costs[each.model] += each.measures.cost
        samples = (((model,), cost / MILLION) for model, cost in costs.items())
        return counter("infernet_cost", "What ended jobs cost, in the currency of the prices.", ("model",), samples)

    def _attempts(self) -> Metric:
        attempts = Counter({(model, _word(cause)): 0 for model in self._models for cause in _CAUSES})
        for each in self._counted:
            attempts.update({(each.model, _word(cause)): n for cause, n in each.measures.attempts.items()})
        about = "Attempts at jobs that have ended, by why each was made."
        return counter("infernet_attempts", about, ("model", "cause"), attempts.items())

    def _times(self) -> Iterator[Metric]:
        waits: dict[str, Histogram] = {}
        gaps: dict[str, Histogram] = {}
        for each in self._counted:
            waits.setdefault(each.model, Histogram()).merge(each.measures.queue_wait)
            gaps.setdefault(each.model, Histogram()).merge(each.measures.gaps)
        for name, about, of_models, bounds in (
            ("infernet_queue_wait_seconds", "From submission until an engine had the job.", waits, buckets.WAIT_S),
            ("infernet_move_gap_seconds", "Silence of a text after its job had lost its engine.", gaps, buckets.GAP_S),
        ):
            yield histogram(name, about, ("model",), (((model,), told) for model, told in of_models.items()), bounds)

    def _gen_ai(self) -> Iterator[Metric]:
        yield histogram(
            "gen_ai_server_request_duration_seconds",
            "From submission until a job had ended.",
            (*_GEN_AI, "error_type"),
            (
                ((*_names(each), error), told)
                for each in self._counted
                for error, told in each.measures.durations.items()
            ),
            buckets.DURATION_S,
        )
        yield histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From submission until the first token of a completed job.",
            _GEN_AI,
            ((_names(each), each.measures.first_text) for each in self._counted),
            buckets.FIRST_TOKEN_S,
        )
        yield histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Between the tokens of a completed job after its first one, on average.",
            _GEN_AI,
            ((_names(each), each.measures.per_token) for each in self._counted),
            buckets.PER_TOKEN_S,
        )
        yield histogram(
            "gen_ai_client_token_usage",
            "Tokens of a job that has ended.",
            (*_GEN_AI, "gen_ai_token_type"),
            (
                ((*_names(each), kind), told)
                for each in self._counted
                for kind, told in (("input", each.measures.inputs), ("output", each.measures.outputs))
            ),
            buckets.TOKENS,
        )


def _names(counted: Counted) -> Labels:
    return counted.operation, _PROVIDER, counted.model


def _word(cause: str) -> str:
    return cause.replace(" ", "_")
