"""Queries about sessions of the dashboard. Only those are kept that were ended before their time."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, exists, insert, select

from cluster.messages.people import KeyLimits, Principal, SignedIn
from cluster.store import keys
from cluster.store.tables.own import ENDED_SESSIONS


def end(connection: Connection, session_id: str, until_ms: int, now_ms: int) -> None:
    """This session is over, which it would be at `until_ms`. Those whose time is over are forgotten."""
    connection.execute(_FORGET, {"now_ms": now_ms})
    connection.execute(_ADD, {"its_id": session_id, "its_until_ms": until_ms})


def principals(
    connection: Connection, shown: Sequence[SignedIn], now_ms: int, default: KeyLimits
) -> list[Principal | None]:
    """The holders of these keys, and of these sessions' keys; None for each that is not valid, or was ended."""
    holders = keys.principals(connection, [each.key_hash for each in shown], now_ms, default)
    sessions = [each.id for each in shown if each.id]
    ended = set(connection.scalars(_ENDED, {"ids": sessions})) if sessions else set()
    return [None if each.id in ended else holder for each, holder in zip(shown, holders, strict=True)]


_ENDED = select(ENDED_SESSIONS.c.id).where(ENDED_SESSIONS.c.id.in_(bindparam("ids", expanding=True)))
_FORGET = delete(ENDED_SESSIONS).where(ENDED_SESSIONS.c.until_ms <= bindparam("now_ms"))
_GIVEN = {name: bindparam(f"its_{name}", type_=ENDED_SESSIONS.c[name].type) for name in ("id", "until_ms")}
_ADD = insert(ENDED_SESSIONS).from_select(
    list(_GIVEN), select(*_GIVEN.values()).where(~exists().where(ENDED_SESSIONS.c.id == _GIVEN["id"]))
)
