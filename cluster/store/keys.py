"""Queries about API keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from cluster.errors import Conflict, KeyNotFound
from cluster.ids import AccountId, KeyId
from cluster.keys import account_seen, changed, granted, is_valid, lasting, secret_hash, visible_prefix
from cluster.limits.budgets import Balance
from cluster.messages.people import Key, KeyChange, KeyLimits, NewKey, Principal
from cluster.store import accounts, budgets
from cluster.store.tables.people import ACCOUNTS, KEYS


def create(connection: Connection, maker: Principal, asked: NewKey, default: KeyLimits, now_ms: int) -> Key:
    """The key as it stands. One whose id is known is not changed.

    Raises Forbidden or BadRequest for what `maker` may not give away, and for an account that does not exist.
    """
    known = find(connection, asked.id, default, now_ms)
    if known is not None:
        return known
    account = accounts.find(connection, asked.account_id, now_ms)
    add(connection, granted(maker, asked, account, default))
    made = find(connection, asked.id, default, now_ms)
    assert made is not None
    return made


def add(connection: Connection, key: NewKey) -> None:
    """Adds a key, and its budget if it has one. Its secret is not kept."""
    connection.execute(
        insert(KEYS).values(
            id=key.id,
            account_id=key.account_id,
            name=key.name,
            prefix=visible_prefix(key.secret),
            key_hash=secret_hash(key.secret),
            role=key.role,
            created_ms=key.created_ms,
            expires_ms=key.expires_ms,
            limits=accounts.limits_json(key.limits),
            models=_models_json(key.models),
        )
    )
    if key.budget is not None:
        budgets.add(connection, key.id, key.budget, key.created_ms)


def change(
    connection: Connection, changer: Principal, key_id: KeyId, asked: KeyChange, default: KeyLimits, now_ms: int
) -> Key:
    """The key as it stands then; repeated, nothing changes any more.

    Raises KeyNotFound for a key that the changer does not see, Conflict for a revoked one, or one without which nobody
    could make admin keys as long as now, and Forbidden or BadRequest for what the changer may not give away.
    """
    key = find(connection, key_id, default, now_ms)
    if key is None or account_seen(changer) not in (None, key.account_id):
        raise KeyNotFound("No such key")
    if key.revoked_ms is not None:
        raise Conflict(f"Key {key_id} has been revoked: make another")
    account = accounts.find(connection, key.account_id, now_ms)
    assert account is not None
    made = changed(changer, asked, key.role, account, default)
    if made.expires_ms is not UNSET and key.role == "admin":
        _check_admins_last(connection, key, made.expires_ms, now_ms)
    if columns := _changed_columns(made):
        connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(columns))
    if made.budget is not UNSET:
        budgets.change(connection, key_id, made.budget, now_ms)
    now = find(connection, key_id, default, now_ms)
    assert now is not None
    return now


def find(connection: Connection, key_id: KeyId, default: KeyLimits, now_ms: int) -> Key | None:
    """The key with this id."""
    row = connection.execute(_KEYS.where(KEYS.c.id == key_id)).first()
    return None if row is None else _key(row, default, budgets.balances(connection, [key_id], now_ms))


def of_account(connection: Connection, account_id: AccountId | None, default: KeyLimits, now_ms: int) -> list[Key]:
    """The account's keys, or everybody's, oldest first; revoked and expired ones too."""
    wanted, ids = _KEYS, select(KEYS.c.id)
    if account_id is not None:
        wanted, ids = (query.where(KEYS.c.account_id == account_id) for query in (wanted, ids))
    rows = connection.execute(wanted.order_by(KEYS.c.created_ms, KEYS.c.id)).all()
    balances = budgets.balances(connection, ids, now_ms)
    return [_key(row, default, balances) for row in rows]


def revoke(connection: Connection, key_id: KeyId, account_id: AccountId | None, now_ms: int) -> None:
    """The key is not valid any more. A key that was revoked before keeps its time.

    Raises KeyNotFound for another account's key too, unless `account_id` is None, and Conflict for the last admin key
    that is valid: without one, nobody could make another.
    """
    key = connection.execute(select(KEYS).where(KEYS.c.id == key_id)).first()
    if key is None or account_id not in (None, key.account_id):
        raise KeyNotFound("No such key")
    if key.revoked_ms is not None:
        return
    if _is_valid(key, now_ms) and key.role == "admin" and not _other_admins(connection, key_id, now_ms):
        raise Conflict(f"Key {key_id} is the last valid admin key: make another before you revoke it")
    connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(revoked_ms=now_ms))


def used(connection: Connection, uses: Mapping[KeyId, int]) -> None:
    """Records when these keys were used last, in milliseconds."""
    if rows := [{"key": key_id, "at_ms": at_ms} for key_id, at_ms in uses.items()]:
        connection.execute(_USED, rows)


def any_exists(connection: Connection) -> bool:
    """Whether there is a key at all, valid or not."""
    return connection.execute(select(KEYS.c.id).limit(1)).first() is not None


def principals(
    connection: Connection, key_hashes: Sequence[str], now_ms: int, default: KeyLimits
) -> list[Principal | None]:
    """The holders of the keys with these hashes; None for each that there is none of, or is revoked or expired."""
    rows = connection.execute(_KEYS.where(KEYS.c.key_hash.in_(key_hashes)))
    # By the exact hash: a database may compare text in its own way.
    by_hash = {row.key_hash: row for row in rows}
    return [_principal(by_hash.get(key_hash), now_ms, default) for key_hash in key_hashes]


def _principal(key: Row[Any] | None, now_ms: int, default: KeyLimits) -> Principal | None:
    if key is None or not _is_valid(key, now_ms):
        return None
    limits = _limits(key, default)
    return Principal(key.account_id, key.id, key.role, limits, _models(key), key.expires_ms, key.max_queued)


def _check_admins_last(connection: Connection, key: Key, expires_ms: int | None, now_ms: int) -> None:
    others = _other_admins(connection, key.id, now_ms)
    if lasting([*others, expires_ms]) < lasting([*others, key.expires_ms]):
        raise Conflict(f"expires_at: no other admin key is valid as long as {key.id} is: make another before")


def _other_admins(connection: Connection, key_id: KeyId, now_ms: int) -> list[int | None]:
    """Until when each other admin key is valid that is now."""
    admins = connection.execute(select(KEYS).where(KEYS.c.role == "admin", KEYS.c.id != key_id))
    return [admin.expires_ms for admin in admins if _is_valid(admin, now_ms)]


def _changed_columns(change: KeyChange) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if change.name is not UNSET:
        columns["name"] = change.name
    if change.expires_ms is not UNSET:
        columns["expires_ms"] = change.expires_ms
    if change.limits is not UNSET:
        columns["limits"] = accounts.limits_json(change.limits)
    if change.models is not UNSET:
        columns["models"] = _models_json(change.models)
    return columns


def _is_valid(key: Row[Any], now_ms: int) -> bool:
    return is_valid(key.expires_ms, key.revoked_ms, now_ms)


def _key(row: Row[Any], default: KeyLimits, balances: Mapping[str, Balance]) -> Key:
    balance = balances.get(row.id)
    return Key(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        prefix=row.prefix,
        role=row.role,
        created_ms=row.created_ms,
        limits=_limits(row, default),
        expires_ms=row.expires_ms,
        revoked_ms=row.revoked_ms,
        last_used_ms=row.last_used_ms,
        budget=None if balance is None else balance.state,
        models=_models(row),
    )


def _limits(row: Row[Any], default: KeyLimits) -> KeyLimits:
    return accounts.limits(row.limits) or accounts.limits(row.account_limits) or default


def _models_json(models: tuple[str, ...]) -> str | None:
    return msgspec.json.encode(models).decode() if models else None


def _models(row: Row[Any]) -> tuple[str, ...]:
    return () if row.models is None else msgspec.json.decode(row.models, type=tuple[str, ...])


_OF_ACCOUNT = (ACCOUNTS.c.limits.label("account_limits"), ACCOUNTS.c.max_queued)
_KEYS = select(KEYS, *_OF_ACCOUNT).join(ACCOUNTS, ACCOUNTS.c.id == KEYS.c.account_id)
_USED = (
    update(KEYS)
    .where(KEYS.c.id == bindparam("key"))
    .where(or_(KEYS.c.last_used_ms.is_(None), KEYS.c.last_used_ms < bindparam("at_ms")))
    .values(last_used_ms=bindparam("at_ms"))
)
