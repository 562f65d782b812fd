"""Queries about accounts."""

from sqlalchemy import Connection, insert

from cluster.ids import AccountId
from cluster.store.tables import ACCOUNTS


def add(connection: Connection, account_id: AccountId, name: str, created_ms: int) -> None:
    """Adds an account."""
    connection.execute(insert(ACCOUNTS).values(id=account_id, name=name, created_ms=created_ms))
