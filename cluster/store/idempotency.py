"""Queries about idempotency keys: which job each stands for, for a day.

What is older does not count. It goes when later keys come, a few rows at a time.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, delete, insert, select, tuple_

from cluster.errors import Conflict
from cluster.ids import AccountId
from cluster.messages.work import Accepted, Idempotency, Submission
from cluster.store.tables.jobs import IDEMPOTENCY, JOBS

_KEPT_MS = 24 * 3600 * 1000
_PRUNED_AT_ONCE = 1000

Name = tuple[AccountId, str]


class Earlier(Struct, frozen=True):
    """What was submitted under an idempotency key, and the job that it became."""

    body_hash: str
    accepted: Accepted

    def same(self, asked: Idempotency) -> Accepted:
        """The job, if `asked` is the same submission. Raises Conflict if it is another."""
        if self.body_hash != asked.body_hash:
            raise Conflict("Idempotency-Key: it was used before, with another body")
        return self.accepted


def earlier(connection: Connection, names: Collection[Name], now_ms: int) -> dict[Name, Earlier]:
    """Those of these keys that stand for a job."""
    if not names:
        return {}
    accounts, keys = ({name[part] for name in names} for part in (0, 1))
    # Each set for itself, not the pairs: every database finds that in the index. Too much is left over below.
    rows = connection.execute(_EARLIER, {"accounts": list(accounts), "keys": list(keys), "after": now_ms - _KEPT_MS})
    found = {(row.account_id, row.key): Earlier(row.body_hash, Accepted(*row[3:])) for row in rows}
    return {name: found[name] for name in names if name in found}


def repeated(connection: Connection, account_id: AccountId, asked: Idempotency, now_ms: int) -> Accepted | None:
    """The job that was submitted before under this key. Raises Conflict if its body was another one."""
    name = (account_id, asked.key)
    known = earlier(connection, [name], now_ms).get(name)
    return None if known is None else known.same(asked)


def add(connection: Connection, submissions: Sequence[Submission], now_ms: int) -> None:
    """Lets the keys of these submissions stand for their jobs. None of them may stand for another."""
    rows = [_row(submission.idempotency, submission, now_ms) for submission in submissions if submission.idempotency]
    if rows:
        _prune(connection, rows, now_ms - _KEPT_MS)
        connection.execute(insert(IDEMPOTENCY), rows)


def _prune(connection: Connection, rows: Sequence[Mapping[str, Any]], over_ms: int) -> None:
    connection.execute(_PRUNE, {"over": over_ms})
    connection.execute(_MAKE_WAY, [{"account": row["account_id"], "name": row["key"], "over": over_ms} for row in rows])


def _row(idempotency: Idempotency, submission: Submission, now_ms: int) -> dict[str, Any]:
    return {
        "account_id": submission.job.account_id,
        "key": idempotency.key,
        "body_hash": idempotency.body_hash,
        "job_id": submission.job.id,
        "created_ms": now_ms,
    }


_EARLIER = (
    select(
        IDEMPOTENCY.c.account_id, IDEMPOTENCY.c.key, IDEMPOTENCY.c.body_hash, JOBS.c.id, JOBS.c.model, JOBS.c.created_ms
    )
    .join(JOBS, JOBS.c.id == IDEMPOTENCY.c.job_id)
    .where(IDEMPOTENCY.c.account_id.in_(bindparam("accounts", expanding=True)))
    .where(IDEMPOTENCY.c.key.in_(bindparam("keys", expanding=True)))
    .where(IDEMPOTENCY.c.created_ms > bindparam("after"))
)
_IS_OVER = IDEMPOTENCY.c.created_ms <= bindparam("over")
_NAME = tuple_(IDEMPOTENCY.c.account_id, IDEMPOTENCY.c.key)
_PRUNE = delete(IDEMPOTENCY).where(
    _NAME.in_(
        select(IDEMPOTENCY.c.account_id, IDEMPOTENCY.c.key)
        .where(_IS_OVER)
        .order_by(IDEMPOTENCY.c.created_ms)
        .limit(_PRUNED_AT_ONCE)
    )
)
_MAKE_WAY = delete(IDEMPOTENCY).where(
    IDEMPOTENCY.c.account_id == bindparam("account"), IDEMPOTENCY.c.key == bindparam("name"), _IS_OVER
)
