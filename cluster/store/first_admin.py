"""The first account and key, without which nobody could make any."""

from sqlalchemy import Connection

from cluster.ids import new_account_id, new_key_id
from cluster.messages.people import Account, NewKey
from cluster.store import accounts, keys

_NAME = "admin"


def add(connection: Connection, secret: str, now_ms: int) -> None:
    """Adds the account `admin` and its admin key, which is `secret`. Repeated, nothing changes."""
    if keys.any_exists(connection):
        return
    account = Account(new_account_id(), _NAME, now_ms)
    accounts.add(connection, account)
    keys.add(connection, NewKey(new_key_id(), account.id, _NAME, secret, "admin", now_ms))
