"""Queries about API keys."""

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from cluster.ids import AccountId, KeyId
from cluster.messages import AccountRole, KeyLimits, Principal
from cluster.store.tables import KEYS


class NewKey(Struct, frozen=True):
    """A key to be stored. `prefix` may be shown; without `limits` of its own it has the default ones."""

    id: KeyId
    account_id: AccountId
    name: str
    prefix: str
    key_hash: str
    role: AccountRole
    created_ms: int
    expires_ms: int | None = None
    limits: KeyLimits | None = None


def add(connection: Connection, key: NewKey) -> None:
    """Adds a key."""
    limits = None if key.limits is None else msgspec.json.encode(key.limits).decode()
    connection.execute(insert(KEYS).values(msgspec.structs.asdict(key) | {"limits": limits}))


def revoke(connection: Connection, key_id: KeyId, now_ms: int) -> None:
    """The key is not valid any more. A key that was revoked before keeps its time."""
    connection.execute(update(KEYS).where(KEYS.c.id == key_id, KEYS.c.revoked_ms.is_(None)).values(revoked_ms=now_ms))


def any_exists(connection: Connection) -> bool:
    """Whether there is a key at all, valid or not."""
    return connection.execute(select(KEYS.c.id).limit(1)).first() is not None


def principal(connection: Connection, key_hash: str, now_ms: int, default: KeyLimits) -> Principal | None:
    """The holder of the key with this hash; None if there is none, or it is revoked or expired."""
    key = connection.execute(select(KEYS).where(KEYS.c.key_hash == key_hash)).first()
    if key is None or key.revoked_ms is not None:
        return None
    if key.expires_ms is not None and key.expires_ms <= now_ms:
        return None
    limits = default if key.limits is None else msgspec.json.decode(key.limits, type=KeyLimits)
    return Principal(key.account_id, key.id, key.role, limits)
