"""The first account and key, without which nobody could make any."""

from sqlalchemy import Connection

from cluster.ids import new_account_id, new_key_id
from cluster.keys import secret_hash, visible_prefix
from cluster.store import accounts, keys

_NAME = "admin"


def add(connection: Connection, secret: str, now_ms: int) -> None:
    """Adds the account `admin` and its admin key, which is `secret`."""
    account_id = new_account_id()
    accounts.add(connection, account_id, _NAME, now_ms)
    key = keys.NewKey(
        id=new_key_id(),
        account_id=account_id,
        name=_NAME,
        prefix=visible_prefix(secret),
        key_hash=secret_hash(secret),
        role="admin",
        created_ms=now_ms,
    )
    keys.add(connection, key)
