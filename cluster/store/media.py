"""Queries about pictures and sounds: kept once under their hash, for as long as an open job needs them.

A job that has been accepted holds what its form names; what nobody holds goes some time after it was brought last. So a
submission has this time to become a job.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update

from cluster.ids import JobId
from cluster.messages.media import Medium, MediumHash
from cluster.messages.work import Job
from cluster.store.tables.media import JOB_MEDIA, MEDIA

KEPT_MS = 15 * 60 * 1000
_PRUNED_AT_ONCE = 100


def want(connection: Connection, hashes: Sequence[MediumHash], now_ms: int) -> list[MediumHash]:
    """Those of these that are not there. The others stay for a while from now on, whoever needs them."""
    known = set(connection.scalars(_KNOWN, {"hashes": hashes}))
    if known:
        connection.execute(_BRING, [{"medium": each, "now": now_ms} for each in sorted(known)])
    return [each for each in dict.fromkeys(hashes) if each not in known]


def keep(connection: Connection, media: Sequence[Medium], now_ms: int) -> None:
    """Keeps these, each once."""
    missing = set(want(connection, [each.hash for each in media], now_ms))
    rows = {each.hash: each.content for each in media if each.hash in missing}
    if rows:
        connection.execute(
            insert(MEDIA), [{"hash": key, "content": content, "brought_ms": now_ms} for key, content in rows.items()]
        )


def contents(connection: Connection, hashes: Sequence[MediumHash]) -> list[bytes | None]:
    """What is kept under each of these, None where nothing is."""
    rows = connection.execute(_CONTENTS, {"hashes": hashes})
    found = {row.hash: row.content for row in rows}
    return [found.get(each) for each in hashes]


def hold(connection: Connection, jobs: Sequence[Job]) -> None:
    """What the forms of these jobs name stays until they have ended. May be repeated."""
    needs = ((job.id, dict.fromkeys(job.form.media)) for job in jobs if job.form is not None)
    rows = [{"job": job_id, "medium": each} for job_id, media in needs for each in media]
    if rows:
        connection.execute(_HOLD, rows)


def let_go(connection: Connection, job_ids: Sequence[JobId]) -> None:
    """These jobs have ended, and need nothing any more."""
    if job_ids:
        connection.execute(_LET_GO, {"ids": job_ids})


def prune(connection: Connection, now_ms: int) -> None:
    """Removes what nobody holds and nobody has brought for a while, some at a time."""
    connection.execute(_PRUNE, {"before": now_ms - KEPT_MS})


_KNOWN = select(MEDIA.c.hash).where(MEDIA.c.hash.in_(bindparam("hashes", expanding=True)))
_CONTENTS = select(MEDIA.c.hash, MEDIA.c.content).where(MEDIA.c.hash.in_(bindparam("hashes", expanding=True)))
_BRING = update(MEDIA).where(MEDIA.c.hash == bindparam("medium")).values(brought_ms=bindparam("now"))
_HOLD = insert(JOB_MEDIA).from_select(
    ["job_id", "hash"],
    select(bindparam("job", type_=JOB_MEDIA.c.job_id.type), bindparam("medium", type_=JOB_MEDIA.c.hash.type)).where(
        ~exists().where(JOB_MEDIA.c.job_id == bindparam("job"), JOB_MEDIA.c.hash == bindparam("medium"))
    ),
)
_LET_GO = delete(JOB_MEDIA).where(JOB_MEDIA.c.job_id.in_(bindparam("ids", expanding=True)))
_PRUNE = delete(MEDIA).where(
    MEDIA.c.hash.in_(
        select(MEDIA.c.hash)
        .where(MEDIA.c.brought_ms < bindparam("before"), ~exists().where(JOB_MEDIA.c.hash == MEDIA.c.hash))
        .order_by(MEDIA.c.brought_ms)
        .limit(_PRUNED_AT_ONCE)
    )
)
