"""What is told of events: thin bodies, which name what happened to what, and neither prompts nor texts."""

from collections.abc import Iterable
from typing import Final, get_args

import msgspec

from cluster.clock import iso_utc
from cluster.ids import AccountId, JobId, WebhookId, new_event_key
from cluster.limits.budgets import Balance
from cluster.messages.webhooks import Event, EventType

ALL: Final[tuple[EventType, ...]] = get_args(EventType)

OF_THE_SYSTEM: Final[tuple[EventType, ...]] = ("node.offline", "model.failed")
"""What only admins are told of: it is of no account."""

_encode = msgspec.json.Encoder().encode


def body(event: Event) -> str:
    """What every endpoint is sent of this event, at every attempt."""
    told = {"type": event.type, "timestamp": iso_utc(event.at_ms), "data": event.data}
    return _encode(told).decode()


def job_ended(job_id: JobId, account_id: AccountId, failed: bool, ended_ms: int) -> Event:
    kind: EventType = "job.failed" if failed else "job.completed"
    return Event(job_id, kind, ended_ms, {"id": job_id}, account_id)


def tested(webhook_id: WebhookId, account_id: AccountId, now_ms: int) -> Event:
    return Event(new_event_key(), "webhook.test", now_ms, {"id": webhook_id}, account_id)


def budget_reached(
    owner_id: str, account_id: AccountId, balance: Balance, thresholds: Iterable[int], now_ms: int
) -> tuple[Event, ...]:
    """An event for each of these thresholds of a balance, which tells of each once in a month."""
    budget = balance.budget
    return tuple(
        Event(
            f"{owner_id} {balance.month} {threshold} {budget.amount} {balance.spent}",
            "budget.reached",
            now_ms,
            {"id": owner_id, "threshold": threshold, "unit": budget.unit, "period": budget.period},
            account_id,
        )
        for threshold in thresholds
    )
