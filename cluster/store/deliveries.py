"""Queries about deliveries: events on their way to endpoints, from the transaction in which they happened.

Each is there once for an event and an endpoint, and is tried until it has ended; what has ended is kept for a while.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, select, tuple_, update

from cluster.errors import Conflict, DeliveryNotFound
from cluster.ids import AccountId, DeliveryId, WebhookId, delivery_id
from cluster.messages.people import Principal
from cluster.messages.webhooks import Attempted, Delivery, DeliveryQuery, Due, Event, Room
from cluster.store import endpoint_health, webhooks
from cluster.store.tables.webhooks import DELIVERIES, WEBHOOKS
from cluster.webhooks import events as rules
from cluster.webhooks.schedule import GIVE_UP_MS

KEPT_MS: Final = 7 * 24 * 3600 * 1000
"""So long a delivery that has ended can be seen, and made again."""

MOST_COUNTED: Final = 10_000

_PRUNED_AT_ONCE: Final = 500


def add(connection: Connection, events: Sequence[Event], named: Mapping[str, WebhookId]) -> None:
    """Writes down whom these events are to be told: the endpoints of their accounts that want them.

    `named` are the endpoints that are told of the events of these keys, whatever else they want. Told once already, an
    event is not told again.
    """
    endpoints = _endpoints(connection, {event.account_id for event in events}) if events else ()
    rows = [
        _new_row(event, endpoint.id)
        for event in events
        for endpoint in endpoints
        if event.account_id in (None, endpoint.account_id)
        and (named.get(event.key) == endpoint.id or event.type in webhooks.wanted_events(endpoint))
    ]
    if rows:
        connection.execute(_ADD, rows)


def test(connection: Connection, caller: Principal, webhook_id: WebhookId, event: Event) -> Delivery:
    """The delivery of this event to this endpoint alone. Raises WebhookNotFound, and Conflict for a disabled one."""
    _require_enabled(connection, caller, webhook_id)
    connection.execute(_ADD, [_new_row(event, webhook_id)])
    return _found(connection, webhook_id, delivery_id(event.key, webhook_id))


def redeliver(
    connection: Connection, caller: Principal, webhook_id: WebhookId, delivery: DeliveryId, now_ms: int
) -> Delivery:
    """The delivery, which is tried now, and for three days from now on. It keeps its id.

    Raises WebhookNotFound, DeliveryNotFound, and Conflict for a disabled endpoint.
    """
    _require_enabled(connection, caller, webhook_id)
    _found(connection, webhook_id, delivery)
    again = {"status": "pending", "next_ms": now_ms, "begun_ms": now_ms, "ended_ms": None}
    connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == delivery).values(again))
    return _found(connection, webhook_id, delivery)


def of_webhook(
    connection: Connection, caller: Principal, webhook_id: WebhookId, query: DeliveryQuery
) -> list[Delivery]:
    """The endpoint's deliveries, the newest first. What waits for a disabled one says so. Raises WebhookNotFound."""
    is_disabled = webhooks.find(connection, caller, webhook_id).disabled_by is not None
    wanted = _DELIVERIES.where(DELIVERIES.c.webhook_id == webhook_id)
    if query.status is not None:
        wanted = wanted.where(DELIVERIES.c.status == query.status)
    if query.before is not None:
        wanted = wanted.where(tuple_(DELIVERIES.c.created_ms, DELIVERIES.c.id) < query.before)
    newest_first = wanted.order_by(DELIVERIES.c.created_ms.desc(), DELIVERIES.c.id.desc()).limit(query.limit)
    found = [_delivery(row) for row in connection.execute(newest_first)]
    return [_held_back(each) if is_disabled and each.status == "pending" else each for each in found]


def due(connection: Connection, room: Room, now_ms: int) -> list[Due]:
    """What is to be tried now, as far as there is room.

    Endpoints take turns by chance, so that those with much to be told keep none of the others waiting.
    """
    found: list[Due] = []
    for endpoint in connection.execute(_WITH_DUE, {"now": now_ms}):
        here = min(room.total - len(found), room.of_some.get(endpoint.id, room.of_each))
        if here > 0:
            under_way = room.under_way.get(endpoint.id, ())
            asked = {"webhook": endpoint.id, "now": now_ms, "under_way": under_way, "room": here}
            secrets = webhooks.signing_secrets(endpoint, now_ms)
            found += [_due(row, endpoint, secrets) for row in connection.execute(_DUE, asked)]
    return found


def record(connection: Connection, attempted: Sequence[Attempted]) -> list[WebhookId]:
    """Writes down what came of these attempts. What has been written down before changes nothing.

    Returns the endpoints that are disabled by it, because they have failed for too long.
    """
    if attempted:
        connection.execute(_RECORD, [_recorded(each) for each in attempted])
    for each in attempted:
        if each.gone_url:
            gone = {"webhook": each.webhook_id, "gone_url": each.gone_url, "at": each.at_ms}
            connection.execute(_GONE, gone)
    return endpoint_health.note(connection, attempted)


def untold(connection: Connection) -> int:
    """How many are still to be told, up to a number that is large."""
    return connection.scalar(_UNTOLD) or 0


def hasten(connection: Connection, now_ms: int) -> None:
    """What a clock that was wrong has put off for longer than any pause is tried now."""
    connection.execute(_HASTEN, {"now": now_ms, "latest": now_ms + GIVE_UP_MS})


def prune(connection: Connection, now_ms: int) -> bool:
    """Removes, some at a time, what ended long ago and what removed endpoints have left. Whether there may be more.

    What was to be told to an endpoint that was disabled for so long that it would have been given up has ended.
    """
    ended = connection.execute(_GIVE_UP, {"before": now_ms - GIVE_UP_MS, "now": now_ms}).rowcount
    removed = connection.execute(_PRUNE, {"before": now_ms - KEPT_MS}).rowcount
    removed += connection.execute(_PRUNE_REMOVED).rowcount
    connection.execute(_FORGET_REMOVED)
    return max(ended, removed) >= _PRUNED_AT_ONCE


def _endpoints(connection: Connection, accounts: Collection[AccountId | None]) -> Sequence[Row[Any]]:
    """Those of these accounts that are told of anything; of all, where None is among them."""
    if None in accounts:
        return connection.execute(_ENABLED).all()
    return connection.execute(_ENABLED.where(WEBHOOKS.c.account_id.in_(accounts))).all()


def _require_enabled(connection: Connection, caller: Principal, webhook_id: WebhookId) -> None:
    if webhooks.find(connection, caller, webhook_id).disabled_by is not None:
        raise Conflict(f"The webhook {webhook_id} is disabled: enable it first")


def _found(connection: Connection, webhook_id: WebhookId, delivery: DeliveryId) -> Delivery:
    row = connection.execute(_DELIVERIES.where(DELIVERIES.c.id == delivery)).first()
    if row is None or row.webhook_id != webhook_id:
        raise DeliveryNotFound("No such delivery of this webhook")
    return _delivery(row)


def _new_row(event: Event, webhook_id: WebhookId) -> dict[str, Any]:
    return {
        "id": delivery_id(event.key, webhook_id),
        "webhook_id": webhook_id,
        "event": event.type,
        "body": rules.body(event),
        "created_ms": event.at_ms,
        "begun_ms": event.at_ms,
        "status": "pending",
        "attempts": 0,
        "next_ms": event.at_ms,
    }


def _recorded(attempted: Attempted) -> dict[str, Any]:
    has_ended = attempted.next_ms is None
    return {
        "delivery": attempted.id,
        "attempt": attempted.attempt,
        "told": attempted.status,
        "why": attempted.problem,
        "then": attempted.next_ms,
        "end": attempted.at_ms if has_ended else None,
        "is": "pending" if not has_ended else "delivered" if attempted.problem is None else "failed",
    }


def _due(row: Row[Any], endpoint: Row[Any], secrets: tuple[str, ...]) -> Due:
    return Due(row.id, endpoint.id, endpoint.url, secrets, row.body, row.attempts, row.begun_ms)


def _held_back(delivery: Delivery) -> Delivery:
    """As it stands while its endpoint is disabled."""
    return replace(delivery, problem="disabled", next_ms=None)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        event=row.event,
        created_ms=row.created_ms,
        status=row.status,
        attempts=row.attempts,
        last_status=row.last_status,
        problem=row.problem,
        next_ms=row.next_ms,
        ended_ms=row.ended_ms,
    )


_ENABLED = select(WEBHOOKS).where(WEBHOOKS.c.removed_ms.is_(None), WEBHOOKS.c.disabled_by.is_(None))
_DELIVERIES = select(*(column for column in DELIVERIES.c if column.name != "body"))
_NEW = [
    DELIVERIES.c[name]
    for name in ("id", "webhook_id", "event", "body", "created_ms", "begun_ms", "status", "attempts", "next_ms")
]
# Not "on conflict do nothing": every kind of database says that in words of its own.
_ADD = insert(DELIVERIES).from_select(
    _NEW,
    select(*(bindparam(column.name, type_=column.type) for column in _NEW)).where(
        ~exists().where(DELIVERIES.c.id == bindparam("id"))
    ),
)
_OF_ENDPOINT_DUE = exists().where(DELIVERIES.c.webhook_id == WEBHOOKS.c.id, DELIVERIES.c.next_ms <= bindparam("now"))
_WITH_DUE = _ENABLED.where(_OF_ENDPOINT_DUE).order_by(func.random())
_DUE = (
    select(DELIVERIES)
    .where(
        DELIVERIES.c.webhook_id == bindparam("webhook"),
        DELIVERIES.c.next_ms <= bindparam("now"),
        DELIVERIES.c.id.not_in(bindparam("under_way", expanding=True)),
    )
    .order_by(DELIVERIES.c.next_ms)
    .limit(bindparam("room"))
)
_UNTOLD = select(func.count()).select_from(
    select(DELIVERIES.c.id).where(DELIVERIES.c.next_ms.is_not(None)).limit(MOST_COUNTED).subquery()
)
_RECORD = (
    update(DELIVERIES)
    .where(DELIVERIES.c.id == bindparam("delivery"), DELIVERIES.c.attempts < bindparam("attempt"))
    .values(
        attempts=bindparam("attempt"),
        last_status=bindparam("told"),
        problem=bindparam("why"),
        next_ms=bindparam("then"),
        ended_ms=bindparam("end"),
        status=bindparam("is"),
    )
)
# Its owner may have given it another URL meanwhile.
_GONE = (
    update(WEBHOOKS)
    .where(WEBHOOKS.c.id == bindparam("webhook"), WEBHOOKS.c.url == bindparam("gone_url"))
    .values(disabled_by="gone", disabled_ms=bindparam("at"))
)
_IS_REMOVED = WEBHOOKS.c.removed_ms.is_not(None)
_PRUNE = delete(DELIVERIES).where(
    DELIVERIES.c.id.in_(
        select(DELIVERIES.c.id)
        .where(DELIVERIES.c.ended_ms < bindparam("before"))
        .order_by(DELIVERIES.c.ended_ms)
        .limit(_PRUNED_AT_ONCE)
    )
)
_PRUNE_REMOVED = delete(DELIVERIES).where(
    DELIVERIES.c.id.in_(
        select(DELIVERIES.c.id)
        .where(DELIVERIES.c.webhook_id.in_(select(WEBHOOKS.c.id).where(_IS_REMOVED)))
        .limit(_PRUNED_AT_ONCE)
    )
)
_FORGET_REMOVED = delete(WEBHOOKS).where(_IS_REMOVED, ~exists().where(DELIVERIES.c.webhook_id == WEBHOOKS.c.id))
# Endpoint by endpoint: so the index of what waits is used.
_HASTEN = (
    update(DELIVERIES)
    .where(DELIVERIES.c.webhook_id.in_(select(WEBHOOKS.c.id)), DELIVERIES.c.next_ms > bindparam("latest"))
    .values(next_ms=bindparam("now"))
)
_GIVE_UP = (
    update(DELIVERIES)
    .where(
        DELIVERIES.c.id.in_(
            select(DELIVERIES.c.id)
            .where(
                DELIVERIES.c.webhook_id.in_(select(WEBHOOKS.c.id).where(WEBHOOKS.c.disabled_by.is_not(None))),
                DELIVERIES.c.next_ms.is_not(None),
                DELIVERIES.c.begun_ms < bindparam("before"),
            )
            .limit(_PRUNED_AT_ONCE)
        )
    )
    .values(status="failed", problem="disabled", next_ms=None, ended_ms=bindparam("now"))
)
