"""Webhooks: endpoints that are told of events, and what they have been told."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.http.bodies import Change, ExactRequest, Text, Time
from cluster.clock import iso_utc
from cluster.messages import webhooks
from cluster.messages.webhooks import DeliveryStatus, DisabledBy, EventType, Problem, TestType, WebhookChange

_ENDS_OF_JOBS: tuple[EventType, ...] = ("job.completed", "job.failed")

Url = Annotated[
    Text,
    Field(max_length=2048, description="`https:`, to a public address, unless the settings name the host"),
]
Events = Annotated[
    list[EventType],
    Field(
        max_length=16,
        description="What it is told of, the ends of jobs unless said; of nodes and models only admins are",
    ),
]
DeliveryId = Annotated[str, Field(pattern="^msg_[0-9a-f]{16,}$", description="The `webhook-id` of every attempt")]


class WebhookRequest(ExactRequest):
    """An endpoint to be told of events. Only an admin may name another account."""

    url: Url
    events: Events = Field(default_factory=lambda: list(_ENDS_OF_JOBS))
    account: Annotated[Text, Field(description="Whose it is to be; the caller's, if not given")] | None = None


class WebhookPatch(Change):
    """What of an endpoint is to be otherwise: what is left out stays."""

    url: Annotated[Url, Field(default_factory=str)]
    events: Annotated[Events, Field(default_factory=list)]
    enabled: Annotated[bool, Field(default_factory=bool, description="Whether anything is sent to it")]

    def change(self) -> WebhookChange:
        asked: dict[str, Any] = {}
        if self.asks_for("url"):
            asked["url"] = self.url
        if self.asks_for("events"):
            asked["events"] = tuple(dict.fromkeys(self.events))
        if self.asks_for("enabled"):
            asked["enabled"] = self.enabled
        return WebhookChange(**asked)


class Webhook(TypedDict):
    """An endpoint. `disabled_by` says whether somebody asked for that, it answered 410 (`gone`), or every attempt
    failed for five days (`failures`); `disabled_reason` says the same in words.
    """

    id: Annotated[str, Field(pattern="^hook_[0-9a-f]{16,}$")]
    account_id: str
    url: str
    events: list[EventType]
    status: Literal["enabled", "disabled"]
    created_at: Time
    disabled_by: NotRequired[DisabledBy]
    disabled_at: NotRequired[Time]
    disabled_reason: NotRequired[str]
    failing_since: NotRequired[Annotated[Time, Field(description="Every attempt since then has failed")]]


class NewWebhook(Webhook):
    """An endpoint that has just been made, or given another secret."""

    secret: Annotated[str, Field(description="It signs. It is shown here, and never again", pattern="^whsec_")]


class WebhookList(TypedDict):
    """Endpoints, the oldest first."""

    webhooks: list[Webhook]


class Delivery(TypedDict):
    """An event on its way to an endpoint, or one that has been there."""

    id: DeliveryId
    event: EventType | TestType
    status: DeliveryStatus
    created_at: Time
    attempts: Annotated[int, Field(ge=0)]
    response_status: NotRequired[Annotated[int, Field(description="What the endpoint answered last")]]
    problem: NotRequired[Annotated[Problem, Field(description="Why the last attempt failed")]]
    next_attempt_at: NotRequired[Time]
    ended_at: NotRequired[Time]


class DeliveryList(TypedDict):
    """Deliveries, newest first."""

    deliveries: list[Delivery]
    next_cursor: NotRequired[Annotated[str, Field(description="Only when more follow")]]


def webhook_body(webhook: webhooks.Webhook) -> Webhook:
    body: Webhook = {
        "id": webhook.id,
        "account_id": webhook.account_id,
        "url": webhook.url,
        "events": list(webhook.events),
        "status": "enabled" if webhook.disabled_by is None else "disabled",
        "created_at": iso_utc(webhook.created_ms),
    }
    if webhook.disabled_by is not None:
        body["disabled_by"] = webhook.disabled_by
        body["disabled_reason"] = _reason(webhook.disabled_by, webhook.failing_since_ms)
    if webhook.disabled_ms is not None:
        body["disabled_at"] = iso_utc(webhook.disabled_ms)
    if webhook.failing_since_ms is not None:
        body["failing_since"] = iso_utc(webhook.failing_since_ms)
    return body


def _reason(disabled_by: DisabledBy, failing_since_ms: int | None) -> str:
    match disabled_by:
        case "request":
            return "Somebody asked for it"
        case "gone":
            return "It answered 410"
        case "failures":
            since = f" since {iso_utc(failing_since_ms)}" if failing_since_ms is not None else ""
            return f"Every attempt{since} failed; its deliveries say why"


def new_webhook_body(webhook: webhooks.Webhook, secret: str) -> NewWebhook:
    return {**webhook_body(webhook), "secret": secret}


def delivery_body(delivery: webhooks.Delivery) -> Delivery:
    """What there is nothing of is left out."""
    body: Delivery = {
        "id": delivery.id,
        "event": delivery.event,
        "status": delivery.status,
        "created_at": iso_utc(delivery.created_ms),
        "attempts": delivery.attempts,
    }
    if delivery.last_status is not None:
        body["response_status"] = delivery.last_status
    if delivery.problem is not None:
        body["problem"] = delivery.problem
    if delivery.next_ms is not None:
        body["next_attempt_at"] = iso_utc(delivery.next_ms)
    if delivery.ended_ms is not None:
        body["ended_at"] = iso_utc(delivery.ended_ms)
    return body
