"""What is told of events: thin bodies, which name what happened to what, and neither prompts nor texts."""

from typing import Final, get_args

import msgspec

from cluster.clock import iso_utc
from cluster.ids import AccountId, JobId, WebhookId, new_event_key
from cluster.limits.budgets import Balance
from cluster.messages.webhooks import Event, EventType

ALL: Final[tuple[EventType, ...]] = get_args(EventType)

OF_THE_SYSTEM: Final[tuple[EventType, ...]] = ("node.offline", "model.failed")
"""What only admins are told of: it is of no account."""

THRESHOLDS: Final = (80, 100)
"""Of a budget, in percent: whoever has spent so much is told."""

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
    owner_id: str, account_id: AccountId, before: Balance, after: Balance, now_ms: int
) -> tuple[Event, ...]:
    """An event for each threshold that was not reached `before` and is `after`, of the same month.

    Each is crossed once in a month: what has been spent does not shrink.
    """
    budget = after.budget
    return tuple(
        Event(
            f"{owner_id} {after.month} {threshold} {budget.amount} {after.spent}",
            "budget.reached",
            now_ms,
            {"id": owner_id, "threshold": threshold, "unit": budget.unit, "period": budget.period},
            account_id,
        )
        for threshold in THRESHOLDS
        if _reaches(after, threshold) and not _reaches(before, threshold)
    )


def _reaches(balance: Balance, threshold: int) -> bool:
    return balance.spent * 100 >= balance.budget.amount * threshold
