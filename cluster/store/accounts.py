"""Queries about accounts."""

from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, Row, insert, select, update

from cluster.errors import AccountNotFound
from cluster.ids import AccountId
from cluster.limits.budgets import Balance
from cluster.messages.people import Account, AccountChange, KeyLimits
from cluster.store import budgets
from cluster.store.tables.people import ACCOUNTS


def create(connection: Connection, account: Account, now_ms: int) -> Account:
    """The account as it stands. One whose id is known is not changed."""
    known = find(connection, account.id, now_ms)
    if known is None:
        add(connection, account)
    return known or account


def add(connection: Connection, account: Account) -> None:
    """Adds an account, and its budget if it has one, of which nothing has been spent."""
    connection.execute(
        insert(ACCOUNTS).values(
            id=account.id,
            name=account.name,
            created_ms=account.created_ms,
            limits=limits_json(account.limits),
            weight=account.weight,
            max_queued=account.max_queued,
        )
    )
    if account.budget is not None:
        budgets.add(connection, account.id, account.budget.budget, account.created_ms)


def change(connection: Connection, account_id: AccountId, asked: AccountChange, now_ms: int) -> Account:
    """The account as it stands then; repeated, nothing changes any more. Raises AccountNotFound."""
    if find(connection, account_id, now_ms) is None:
        raise AccountNotFound("No such account")
    wanted = {"name": asked.name, "weight": asked.weight, "max_queued": asked.max_queued}
    columns: dict[str, object] = {name: value for name, value in wanted.items() if value is not UNSET}
    if asked.limits is not UNSET:
        columns["limits"] = limits_json(asked.limits)
    if columns:
        connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(columns))
    if asked.budget is not UNSET:
        budgets.change(connection, account_id, asked.budget, now_ms)
    changed = find(connection, account_id, now_ms)
    assert changed is not None
    return changed


def find(connection: Connection, account_id: AccountId, now_ms: int) -> Account | None:
    """The account with this id."""
    row = connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == account_id)).first()
    return None if row is None else _account(row, budgets.balances(connection, [account_id], now_ms))


def all_of_them(connection: Connection, now_ms: int) -> list[Account]:
    """All accounts, oldest first."""
    rows = connection.execute(select(ACCOUNTS).order_by(ACCOUNTS.c.created_ms, ACCOUNTS.c.id)).all()
    balances = budgets.balances(connection, select(ACCOUNTS.c.id), now_ms)
    return [_account(row, balances) for row in rows]


def weights(connection: Connection) -> dict[AccountId, int]:
    """The accounts whose weight is not 1."""
    rows = connection.execute(select(ACCOUNTS.c.id, ACCOUNTS.c.weight).where(ACCOUNTS.c.weight != 1)).all()
    return {row.id: row.weight for row in rows}


def limits_json(limits: KeyLimits | None) -> str | None:
    return None if limits is None else msgspec.json.encode(limits).decode()


def limits(stored: str | None) -> KeyLimits | None:
    return None if stored is None else msgspec.json.decode(stored, type=KeyLimits)


def _account(row: Row[Any], balances: dict[str, Balance]) -> Account:
    balance = balances.get(row.id)
    budget = None if balance is None else balance.state
    return Account(row.id, row.name, row.created_ms, limits(row.limits), budget, row.weight, row.max_queued)
