"""What is added up of ended jobs of one kind."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from cluster.measures import buckets
from cluster.measures.histogram import Histogram
from cluster.measures.tallies import Tally
from cluster.messages.money import BudgetUnit, Usage
from cluster.messages.placements import MovedBy
from cluster.messages.webhooks import EndpointState

Operation = Literal["chat", "text_completion", "embeddings", "score", "rerank"]
"""What jobs ask for, by OpenTelemetry's names where it has one."""

Cause = MovedBy | Literal["new job", "unknown"]
"""Why an attempt was made."""

COMPLETED: Final = ""
"""In the place of an error's code."""


class EndedJob(Struct, frozen=True):
    """All that is measured of a job that has ended. Times are milliseconds since the Unix epoch.

    `error` is the code of why it failed. `placed_ms` and `first_text_ms` are None where it never came so far, or where
    nobody can tell. `gaps_ms` are the silences of its text after it had moved, `causes` are those of its attempts.
    """

    usage: Usage
    cost: int
    created_ms: int
    ended_ms: int
    error: str = COMPLETED
    placed_ms: int | None = None
    first_text_ms: int | None = None
    gaps_ms: Sequence[int] = ()
    causes: Sequence[Cause] = ()


class Measures(Struct, omit_defaults=True):
    """Sums of ended jobs. `durations` are by the code of why jobs failed, and `COMPLETED` for those that did not.

    `first_text` and `per_token` are of completed jobs that have generated text.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    durations: dict[str, Histogram] = field(default_factory=dict)
    attempts: dict[Cause, int] = field(default_factory=dict)
    first_text: Histogram = field(default_factory=Histogram)
    per_token: Histogram = field(default_factory=Histogram)
    queue_wait: Histogram = field(default_factory=Histogram)
    gaps: Histogram = field(default_factory=Histogram)
    inputs: Histogram = field(default_factory=Histogram)
    outputs: Histogram = field(default_factory=Histogram)

    @property
    def completed(self) -> int:
        return self.durations[COMPLETED].count if COMPLETED in self.durations else 0

    @property
    def failures(self) -> dict[str, int]:
        """How many jobs failed, by their errors' codes."""
        return {error: histogram.count for error, histogram in self.durations.items() if error != COMPLETED}

    def add(self, job: EndedJob) -> None:
        """Count a job that has ended."""
        usage = job.usage
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cached_tokens += usage.cached_tokens or 0
        self.reasoning_tokens += usage.reasoning_tokens or 0
        self.cost += job.cost
        for cause in job.causes:
            self.attempts[cause] = self.attempts.get(cause, 0) + 1
        whole = self.durations.setdefault(job.error, Histogram())
        whole.add(_seconds(job.created_ms, job.ended_ms), buckets.DURATION_S)
        self.inputs.add(usage.prompt_tokens, buckets.TOKENS)
        self.outputs.add(usage.completion_tokens, buckets.TOKENS)
        if job.placed_ms is not None:
            self.queue_wait.add(_seconds(job.created_ms, job.placed_ms), buckets.WAIT_S)
        for gap_ms in job.gaps_ms:
            self.gaps.add(_seconds(0, gap_ms), buckets.GAP_S)
        if job.error == COMPLETED and job.first_text_ms is not None:
            self._add_generated(job, job.first_text_ms)

    def merge(self, other: "Measures") -> None:
        """Add what the other ones have counted."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for cause, count in other.attempts.items():
            self.attempts[cause] = self.attempts.get(cause, 0) + count
        for error, histogram in other.durations.items():
            self.durations.setdefault(error, Histogram()).merge(histogram)
        for name in _HISTOGRAMS:
            getattr(self, name).merge(getattr(other, name))

    def _add_generated(self, job: EndedJob, first_text_ms: int) -> None:
        self.first_text.add(_seconds(job.created_ms, first_text_ms), buckets.FIRST_TOKEN_S)
        if (further := job.usage.completion_tokens - 1) > 0:
            self.per_token.add(_seconds(first_text_ms, job.ended_ms) / further, buckets.PER_TOKEN_S)


class Counted(Struct, frozen=True):
    """The measures of one kind of jobs: of a model, or an adapter, and an operation."""

    model: str
    operation: Operation
    measures: Measures


class Totals(Struct, frozen=True):
    """All that is counted for good: of ended jobs, and by processes; and what open jobs hold of budgets, by unit.

    So many webhooks are `untold`, as far as it is worth counting, and so many of their `endpoints` are in each state.
    """

    measures: Sequence[Counted] = ()
    tallies: Sequence[Tally] = ()
    reserved: Mapping[BudgetUnit, int] = field(default_factory=dict)
    untold: int = 0
    endpoints: Mapping[EndpointState, int] = field(default_factory=dict)


def _seconds(since_ms: int, until_ms: int) -> float:
    """Clocks may be set back."""
    return max(0, until_ms - since_ms) / 1000


_COUNTS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cost")
_HISTOGRAMS: Final = ("first_text", "per_token", "queue_wait", "gaps", "inputs", "outputs")
