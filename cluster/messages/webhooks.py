"""What is said of webhooks: endpoints that are told of events, and each event on its way to an endpoint."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from cluster.ids import AccountId, DeliveryId, WebhookId

EventType = Literal["job.completed", "job.failed", "budget.reached", "node.offline", "model.failed"]
"""What an endpoint may want to be told of."""

TestType = Literal["webhook.test"]

DisabledBy = Literal["request", "gone", "failures"]
"""Why nothing is sent to an endpoint: somebody asked for that, it answered 410 itself, or every attempt has failed for
days.
"""

EndpointState = Literal["enabled", "failing", "disabled", "given_up"]
"""`failing`: enabled, and every attempt since the last success has failed. `given_up`: disabled by nobody."""

DeliveryStatus = Literal["pending", "delivered", "failed"]

Problem = Literal[
    "timeout", "address_refused", "connection_failed", "bad_answer", "refused", "redirected", "not_sent", "disabled"
]
"""Why an attempt failed. `refused` and `redirected` say that the endpoint answered so, `not_sent` that this system
could not send it. `disabled`: there is none while the endpoint is disabled, or was none until its time was over.
"""


class NewWebhook(Struct, frozen=True):
    """An endpoint to be made."""

    id: WebhookId
    account_id: AccountId
    url: str
    events: tuple[EventType, ...]
    secret: str
    created_ms: int

    def __repr__(self) -> str:
        """Without the secret."""
        return f"NewWebhook({self.id})"


class Webhook(Struct, frozen=True):
    """An endpoint, as its owner is told of it. Nothing is sent to it while it is disabled.

    Every attempt since `failing_since_ms` has failed, as far as it is enabled, or was disabled by these failures.
    """

    id: WebhookId
    account_id: AccountId
    url: str
    events: tuple[EventType, ...]
    created_ms: int
    disabled_by: DisabledBy | None = None
    disabled_ms: int | None = None
    failing_since_ms: int | None = None


class WebhookChange(Struct, frozen=True):
    """What of an endpoint is to be otherwise; what is UNSET stays."""

    url: str | UnsetType = UNSET
    events: tuple[EventType, ...] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Event(Struct, frozen=True):
    """Something that happened, to be told. `key` names it: told twice under the same, it is told once.

    `data` is what its body tells besides its type and time. Without an account it is for all endpoints that want it.
    """

    key: str
    type: EventType | TestType
    at_ms: int
    data: Mapping[str, Any]
    account_id: AccountId | None = None


class Delivery(Struct, frozen=True):
    """An event on its way to an endpoint. Its id is the `webhook-id` of every attempt.

    `last_status` is what the endpoint answered last, None where it did not answer; `problem`, why that was a failure.
    """

    id: DeliveryId
    webhook_id: WebhookId
    event: EventType | TestType
    created_ms: int
    status: DeliveryStatus
    attempts: int
    last_status: int | None = None
    problem: Problem | None = None
    next_ms: int | None = None
    ended_ms: int | None = None


class DeliveryQuery(Struct, frozen=True):
    """Which deliveries of an endpoint to list, the newest first: those before this time and id."""

    limit: int
    status: DeliveryStatus | None = None
    before: tuple[int, DeliveryId] | None = None


class Due(Struct, frozen=True):
    """A delivery whose time has come, with all that an attempt needs. Its `secrets` all sign."""

    id: DeliveryId
    webhook_id: WebhookId
    url: str
    secrets: tuple[str, ...]
    body: str
    attempts: int
    begun_ms: int

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"Due({self.id})"


class Room(Struct, frozen=True):
    """What a Courier can take on: so much in `total`, `of_each` endpoint, or less `of_some`.

    It takes none of those that are `under_way` to an endpoint.
    """

    total: int
    of_each: int
    of_some: Mapping[WebhookId, int]
    under_way: Mapping[WebhookId, tuple[DeliveryId, ...]]


class Attempted(Struct, frozen=True):
    """What came of attempt number `attempt`.

    It is tried again at `next_ms`; without one it has ended, delivered unless there is a `problem`. `gone_url` is the
    endpoint's, where it wants nothing any more.
    """

    id: DeliveryId
    webhook_id: WebhookId
    attempt: int
    at_ms: int
    status: int | None = None
    problem: Problem | None = None
    next_ms: int | None = None
    gone_url: str = ""


class DeliveryCounts(Struct, frozen=True):
    """What a Courier has done since its process began, and what it does now."""

    delivered: int = 0
    failed_attempts: int = 0
    given_up: int = 0
    under_way: int = 0
