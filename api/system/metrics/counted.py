"""What processes count together: at the doors, in the Ledger, in the Scheduler. It outlives them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from prometheus_client import Metric

from api.replica.door_counts import STREAMS_OPEN
from api.system.metrics.families import Labels, counter, gauge
from cluster.limits.pricing import MILLION
from cluster.measures import tallies
from cluster.measures.tallies import Tally
from cluster.messages.money import BudgetUnit
from cluster.messages.webhooks import EndpointState

_NAMES: Mapping[str, tuple[str, str, Labels]] = {
    tallies.REQUESTS: (
        "infernet_requests",
        "Requests that were answered, by the path as the API has it, nothing for one that it has not.",
        ("route", "method", "code"),
    ),
    tallies.DECISIONS: (
        "infernet_limiter_decisions",
        "Requests, and tokens of submissions, that keys' limits let through or refused.",
        ("bucket", "decision"),
    ),
    tallies.STREAMS: ("infernet_streams", "Streams that have begun, new or resumed somewhere.", ("began",)),
    tallies.CACHE_TOKENS: (
        "infernet_prompt_cache_tokens",
        "Prompt tokens of ended jobs: all, those expected in their engine's cache when they were placed, and "
        "those found there.",
        ("model", "kind"),
    ),
    tallies.COMMITS: ("infernet_ledger_commits", "Transactions that the Ledger has made durable.", ()),
    tallies.WRITES: ("infernet_ledger_writes", "Writes that were in them: those at once travel together.", ()),
    tallies.WEBHOOKS: (
        "infernet_webhook_attempts",
        "Webhooks that were sent, and what came of it: some that failed are tried again, others were given up.",
        ("outcome",),
    ),
    tallies.COMMIT_SECONDS: ("infernet_ledger_commit_seconds", "How long they took, in all.", ()),
}


def counts(told: Sequence[Tally]) -> Iterator[Metric]:
    """What has been counted until now."""
    for name, (metric, about, labels) in _NAMES.items():
        yield counter(metric, about, labels, ((each.labels, each.count) for each in told if each.name == name))
    settled = (each for each in told if each.name == tallies.SETTLED)
    about = "What ended jobs have spent of budgets: tokens, or money in the currency of the prices."
    samples = ((each.labels, _amount(each.labels[0], each.count)) for each in settled)
    yield counter("infernet_budget_settled", about, ("unit",), samples)


def reserved(amounts: Mapping[BudgetUnit, int]) -> Metric:
    """What open jobs hold of budgets."""
    about = "What jobs that have not ended hold of budgets: tokens, or money in the currency of the prices."
    units: tuple[BudgetUnit, ...] = ("tokens", "money")
    samples = (((unit,), _amount(unit, amounts.get(unit, 0))) for unit in units)
    return gauge("infernet_budget_reserved", about, ("unit",), samples)


def untold(count: int) -> Metric:
    """The webhooks that are still to be delivered."""
    return gauge("infernet_webhook_deliveries", "Webhooks that are still to be delivered.", (), [((), count)])


def endpoints(counts: Mapping[EndpointState, int]) -> Metric:
    """How the endpoints of webhooks fare."""
    about = (
        "Endpoints of webhooks. Of `failing` ones every attempt since the last success has failed; `given_up` ones "
        "were disabled because they answered 410, or failed for days."
    )
    samples = (((state,), counts.get(state, 0)) for state in get_args(EndpointState))
    return gauge("infernet_webhook_endpoints", about, ("state",), samples)


def streams_open(gauges: Mapping[str, float]) -> Metric:
    """The streams that clients read now."""
    about = "Streams that clients read now, at all ingress replicas."
    return gauge("infernet_streams_open", about, (), [((), gauges.get(STREAMS_OPEN, 0))])


def _amount(unit: str, amount: float) -> float:
    return amount / MILLION if unit == "money" else amount
