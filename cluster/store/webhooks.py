"""Queries about webhooks: endpoints that accounts have registered, and their secrets."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection, Row, Select, exists, insert, select, update

from cluster.errors import BadRequest, Conflict, Forbidden, WebhookNotFound
from cluster.ids import AccountId, WebhookId
from cluster.messages.people import Principal
from cluster.messages.webhooks import EventType, NewWebhook, Webhook, WebhookChange
from cluster.store.endpoint_health import BEGINS_ANEW
from cluster.store.tables.people import ACCOUNTS
from cluster.store.tables.webhooks import WEBHOOKS
from cluster.webhooks import events as rules

MOST_OF_AN_ACCOUNT: Final = 20

FORMER_SECRET_SIGNS_MS: Final = 24 * 3600 * 1000
"""So long after a rotation the secret before it still signs."""

_MOST_SECRETS: Final = 3


class Secret(Struct, frozen=True, omit_defaults=True):
    """What signs until `until_ms`, or until there is another one."""

    secret: str
    until_ms: int | None = None


def accounts(connection: Connection) -> set[AccountId]:
    """The accounts that have endpoints."""
    return set(connection.scalars(select(WEBHOOKS.c.account_id).where(_IS_THERE).distinct()))


def create(connection: Connection, maker: Principal, asked: NewWebhook) -> Webhook:
    """The endpoint as it stands. One whose id is known is not changed.

    Raises BadRequest for an account that does not exist, Forbidden for events that `maker` may not hear of, and
    Conflict for one URL too many, or twice.
    """
    if (known := connection.execute(_WEBHOOKS.where(WEBHOOKS.c.id == asked.id)).first()) is not None:
        return _webhook(known)
    if not connection.scalar(select(exists().where(ACCOUNTS.c.id == asked.account_id))):
        raise BadRequest("account: no such account")
    _check_events(maker, asked.events)
    others = of_account(connection, asked.account_id)
    if len(others) >= MOST_OF_AN_ACCOUNT:
        raise Conflict(f"An account may have {MOST_OF_AN_ACCOUNT} webhooks: remove one first")
    _check_url(others, asked.url)
    connection.execute(
        insert(WEBHOOKS).values(
            id=asked.id,
            account_id=asked.account_id,
            url=asked.url,
            events=_json(asked.events),
            secrets=_json([Secret(asked.secret)]),
            created_ms=asked.created_ms,
        )
    )
    return Webhook(asked.id, asked.account_id, asked.url, asked.events, asked.created_ms)


def of_account(connection: Connection, account_id: AccountId | None) -> list[Webhook]:
    """The account's endpoints, or everybody's, the oldest first."""
    wanted = _WEBHOOKS if account_id is None else _WEBHOOKS.where(WEBHOOKS.c.account_id == account_id)
    return [_webhook(row) for row in connection.execute(wanted.order_by(WEBHOOKS.c.created_ms, WEBHOOKS.c.id))]


def find(connection: Connection, caller: Principal, webhook_id: WebhookId) -> Webhook:
    """Raises WebhookNotFound, for another account's too unless the caller is an admin."""
    return _webhook(_seen(connection, caller, webhook_id))


def at(connection: Connection, account_id: AccountId, url: str) -> WebhookId:
    """The account's endpoint with this URL. Raises BadRequest where there is none that is told of anything."""
    for webhook in of_account(connection, account_id):
        if webhook.url == url:
            if webhook.disabled_by is not None:
                raise BadRequest(f"webhook_url: the webhook {webhook.id} is disabled")
            return webhook.id
    raise BadRequest("webhook_url: must be the URL of one of the account's webhooks")


def change(
    connection: Connection, caller: Principal, webhook_id: WebhookId, asked: WebhookChange, now_ms: int
) -> Webhook:
    """The endpoint as it stands then; repeated, nothing changes any more. Raises what `create` does, and not found."""
    now = _changeable(connection, caller, webhook_id)
    columns: dict[str, object] = {}
    if asked.events is not UNSET:
        _check_events(caller, asked.events)
        columns["events"] = _json(asked.events)
    if asked.url is not UNSET:
        _check_url([each for each in of_account(connection, now.account_id) if each.id != now.id], asked.url)
        columns["url"] = asked.url
        columns |= BEGINS_ANEW if asked.url != now.url else {}
    if asked.enabled is not UNSET:
        columns |= _enabled() if asked.enabled else _disabled(now, now_ms)
    if columns:
        connection.execute(update(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id).values(columns))
    return find(connection, caller, webhook_id)


def rotate(connection: Connection, caller: Principal, webhook_id: WebhookId, secret: str, now_ms: int) -> Webhook:
    """The endpoint, whose newest secret is this one. The one before signs for a while yet."""
    webhook = _changeable(connection, caller, webhook_id)
    newest, *former = _secrets(_seen(connection, caller, webhook_id))
    if newest.secret != secret:
        replaced = Secret(newest.secret, now_ms + FORMER_SECRET_SIGNS_MS)
        kept = [Secret(secret), replaced, *_signing(former, now_ms)][:_MOST_SECRETS]
        connection.execute(update(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id).values(secrets=_json(kept)))
    return webhook


def remove(connection: Connection, caller: Principal, webhook_id: WebhookId, now_ms: int) -> None:
    """Nothing is told to this endpoint any more, and its secrets go at once. Raises WebhookNotFound."""
    find(connection, caller, webhook_id)
    gone = {"removed_ms": now_ms, "secrets": _json([])}
    connection.execute(update(WEBHOOKS).where(WEBHOOKS.c.id == webhook_id).values(gone))


def signing_secrets(row: Row[Any], now_ms: int) -> tuple[str, ...]:
    """The secrets of this endpoint that sign now, the newest first."""
    return tuple(each.secret for each in _signing(_secrets(row), now_ms))


def wanted_events(row: Row[Any]) -> tuple[EventType, ...]:
    return msgspec.json.decode(row.events, type=tuple[EventType, ...])


def _enabled() -> dict[str, object]:
    return {"disabled_by": None, "disabled_ms": None, **BEGINS_ANEW}


def _disabled(webhook: Webhook, now_ms: int) -> dict[str, object]:
    """What has disabled it first stays the reason."""
    return {} if webhook.disabled_by else {"disabled_by": "request", "disabled_ms": now_ms}


def _changeable(connection: Connection, caller: Principal, webhook_id: WebhookId) -> Webhook:
    """Raises WebhookNotFound, and Forbidden for one that hears of what the caller may not hear of."""
    webhook = find(connection, caller, webhook_id)
    _check_events(caller, webhook.events)
    return webhook


def _seen(connection: Connection, caller: Principal, webhook_id: WebhookId) -> Row[Any]:
    row = connection.execute(_WEBHOOKS.where(WEBHOOKS.c.id == webhook_id)).first()
    if row is None or (caller.role != "admin" and row.account_id != caller.account_id):
        raise WebhookNotFound("No such webhook")
    return row


def _check_events(caller: Principal, asked: Sequence[EventType]) -> None:
    if caller.role != "admin" and any(each in rules.OF_THE_SYSTEM for each in asked):
        raise Forbidden(f"events: only an admin's webhook is told of {' and '.join(rules.OF_THE_SYSTEM)}")


def _check_url(others: Sequence[Webhook], url: str) -> None:
    for each in others:
        if each.url == url:
            raise Conflict(f"url: the account's webhook {each.id} has it already")


def _secrets(row: Row[Any]) -> list[Secret]:
    return msgspec.json.decode(row.secrets, type=list[Secret])


def _signing(secrets: Sequence[Secret], now_ms: int) -> list[Secret]:
    return [each for each in secrets if each.until_ms is None or each.until_ms > now_ms]


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        account_id=row.account_id,
        url=row.url,
        events=wanted_events(row),
        created_ms=row.created_ms,
        disabled_by=row.disabled_by,
        disabled_ms=row.disabled_ms,
        failing_since_ms=row.failing_since_ms,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


_IS_THERE = WEBHOOKS.c.removed_ms.is_(None)
_WEBHOOKS: Select[Any] = select(WEBHOOKS).where(_IS_THERE)
