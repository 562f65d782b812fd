"""Queries about budgets, and about what jobs that have not ended hold of them.

A reservation is made in the transaction that creates its job, and goes in the one that ends it. So it is neither lost
nor freed twice, whenever a process dies.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update

from cluster.ids import JobId
from cluster.limits import budgets
from cluster.limits.budgets import Balance
from cluster.messages.money import Budget, BudgetUnit
from cluster.messages.webhooks import Event
from cluster.store.tables.usage import BUDGETS, RESERVATIONS
from cluster.store.usage import Billed
from cluster.webhooks.events import budget_reached


class Reservation(Struct, frozen=True):
    """What a job holds of one owner's budget."""

    job_id: JobId
    owner_id: str
    amount: int


def add(connection: Connection, owner_id: str, budget: Budget, now_ms: int) -> None:
    """Gives an account or a key its budget."""
    balance = budgets.fresh(budget, now_ms)
    values = {"owner_id": owner_id, "unit": budget.unit, "amount": budget.amount, "period": budget.period}
    connection.execute(insert(BUDGETS).values(values | _changing(balance)))


def change(connection: Connection, owner_id: str, budget: Budget | None, now_ms: int) -> None:
    """Gives an owner another budget, or none.

    One of the same unit and period goes on: what was spent of it is spent. Any other begins anew, and the jobs that
    run by then are none of it.
    """
    now = lock(connection, [owner_id], now_ms).get(owner_id)
    if now is not None and budget is not None and (now.budget.unit, now.budget.period) == (budget.unit, budget.period):
        of_owner = update(BUDGETS).where(BUDGETS.c.owner_id == owner_id)
        connection.execute(of_owner.values(amount=budget.amount, told=now.becoming(budget.amount).told))
        return
    if now is not None:
        connection.execute(delete(RESERVATIONS).where(RESERVATIONS.c.owner_id == owner_id))
        connection.execute(delete(BUDGETS).where(BUDGETS.c.owner_id == owner_id))
    if budget is not None:
        add(connection, owner_id, budget, now_ms)


def balances(connection: Connection, owners: Iterable[str] | Select[Any], now_ms: int) -> dict[str, Balance]:
    """The balances, now, of those of these owners that have a budget."""
    rows = connection.execute(select(BUDGETS).where(BUDGETS.c.owner_id.in_(owners)))
    return {row.owner_id: _balance(row).at(now_ms) for row in rows}


def lock(connection: Connection, owners: Iterable[str], now_ms: int) -> dict[str, Balance]:
    """As `balances`, for a transaction that will change them."""
    rows = connection.execute(_OF_OWNERS, {"owners": sorted(owners)})
    return {row.owner_id: _balance(row).at(now_ms) for row in rows}


def reserve(connection: Connection, made: Sequence[Reservation], after: Mapping[str, Balance]) -> None:
    """Records these new reservations, and the balances `after` them."""
    if made:
        connection.execute(insert(RESERVATIONS), [_values(reservation) for reservation in made])
        save(connection, after)


def reserved(connection: Connection) -> dict[BudgetUnit, int]:
    """What jobs that have not ended hold of all budgets, by unit. A job may hold of its key's and of its account's."""
    of_units = select(BUDGETS.c.unit, func.sum(RESERVATIONS.c.amount)).join_from(
        RESERVATIONS, BUDGETS, RESERVATIONS.c.owner_id == BUDGETS.c.owner_id
    )
    return {unit: int(amount) for unit, amount in connection.execute(of_units.group_by(BUDGETS.c.unit))}


class Settlement(NamedTuple):
    """What came of jobs that ended: what was spent of budgets, by unit, and the thresholds reached by that."""

    spent: Counter[BudgetUnit]
    reached: list[Event]


def settle(connection: Connection, ended: Sequence[Billed]) -> Settlement:
    """Frees all that these jobs have reserved and spends what they are billed, where they had reserved anything."""
    settlement = Settlement(Counter(), [])
    bills = {billed.job_id: billed for billed in ended}
    held = connection.execute(_HELD, {"jobs": list(bills)}).all()
    if not held:
        return settlement
    owners = sorted({row.owner_id for row in held})
    after = {row.owner_id: _balance(row) for row in connection.execute(_OF_OWNERS, {"owners": owners})}
    for row in held:
        billed, balance = bills[row.job_id], after[row.owner_id]
        spent = budgets.amount(balance.budget, billed.rates, billed.usage)
        now = balance.settle(row.amount, spent, billed.ended_ms)
        settlement.spent[balance.budget.unit] += spent
        settlement.reached.extend(budget_reached(row.owner_id, billed.account_id, now, now.untold, billed.ended_ms))
        after[row.owner_id] = now.telling()
    save(connection, after)
    connection.execute(_FREE, [{"job": job_id} for job_id in {row.job_id for row in held}])
    return settlement


def save(connection: Connection, after: Mapping[str, Balance]) -> None:
    """Records these balances."""
    rows = [{"owner": owner_id} | _changing(balance) for owner_id, balance in after.items()]
    connection.execute(update(BUDGETS).where(BUDGETS.c.owner_id == bindparam("owner")), rows)


def _balance(row: Row[Any]) -> Balance:
    return Balance(Budget(row.unit, row.amount, row.period), row.month, row.spent, row.reserved, row.told)


def _changing(balance: Balance) -> dict[str, Any]:
    return {"month": balance.month, "spent": balance.spent, "reserved": balance.reserved, "told": balance.told}


def _values(reservation: Reservation) -> dict[str, Any]:
    return {"job_id": reservation.job_id, "owner_id": reservation.owner_id, "amount": reservation.amount}


# Locked, where a database can: should a dead process' last transaction still be under way, this one waits for it.
_OF_OWNERS = select(BUDGETS).where(BUDGETS.c.owner_id.in_(bindparam("owners", expanding=True))).with_for_update()
_HELD = select(RESERVATIONS).where(RESERVATIONS.c.job_id.in_(bindparam("jobs", expanding=True)))
_FREE = delete(RESERVATIONS).where(RESERVATIONS.c.job_id == bindparam("job"))
