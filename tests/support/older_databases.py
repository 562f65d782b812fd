"""Databases as older versions of the software left them: with keys, budgets, and jobs that have ended or have not.

Each version's part is written when the schema is of that version, so that every later migration meets it.
"""

import json
from typing import Any

from alembic import command
from sqlalchemy import Connection, create_engine, text

from cluster.keys import secret_hash
from cluster.messages.media import medium
from cluster.store import migrations
from tests.support import older_rows as rows
from tests.support.ledger_stage import Place, url
from tests.support.older_rows import add

VERSIONS = tuple(f"{number:04}" for number in range(1, 15))
"""All that have been released, but for the newest."""

SECRET = "inft_" + "a" * 32
ACCOUNT, KEY = "acct_1", "key_1"
MODEL = "sim"
QUESTION = "Where is it?"
PICTURE = medium(b"a picture")

PROMPT_TOKENS, COMPLETION_TOKENS, COST = 4, 5, 7
HELD = 100
DAY_MS = 86_400_000
ENDED_MS = 20_000 * DAY_MS - 3
"""When the first version's jobs ended; those of each later one a day later."""
MOMENT_MS = 120_000
"""What the last version did, it did so long before the deadline of its jobs."""


def write(place: Place, version: str, deadline_ms: int) -> None:
    """Makes the database at `place` one of this version."""
    engine = create_engine(url(place))
    for each in VERSIONS[: VERSIONS.index(version) + 1]:
        with engine.begin() as connection:
            command.upgrade(migrations.config_of(connection), each)
            _write(connection, int(each), deadline_ms)
    engine.dispose()


def completed(version: str) -> str:
    return f"job_completed_{version}"


def failed(version: str) -> str:
    return f"job_failed_{version}"


def waiting(version: str) -> str:
    return f"job_waiting_{version}"


def running(version: str) -> str:
    return f"job_running_{version}"


def text_of(version: str) -> str:
    return f"said by {version}"


def _write(connection: Connection, number: int, deadline_ms: int) -> None:
    version = f"{number:04}"
    ended_ms = ENDED_MS + number * DAY_MS
    if number == 1:
        _write_people(connection)
    if number == 2:
        add(
            connection,
            "budgets",
            owner_id=KEY,
            unit="tokens",
            amount=10_000,
            period="all",
            month=0,
            spent=0,
            reserved=0,
        )
    job = {
        "account_id": ACCOUNT,
        "key_id": KEY,
        "model": MODEL,
        "request": json.dumps({"messages": [{"role": "user", "content": QUESTION}], "sampling": {"max_tokens": 5}}),
        "labels": json.dumps({"of": version}),
        "created_ms": ended_ms - 1_000,
        "deadline_ms": deadline_ms,
        **({"prompt_rate": 1, "completion_rate": 1} if number >= 2 else {}),
        **({"operation": "chat"} if number >= 11 else {}),
    }
    named = {"webhook_id": rows.NAMED} if number >= 12 else {}
    ran = {"node_id": "node_1", "engine_id": "sim/0", "attempt": 1, "placed_ms": ended_ms - 500}
    counted = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS, "ended_ms": ended_ms}
    said = {
        "content": text_of(version).encode(),
        **({"epoch": 2} if number >= 4 else {}),
        **({"details": b'{"cached_tokens":3}'} if number >= 8 else {}),
    }
    bad = {"error": "timeout", "error_message": "It took too long"}
    add(
        connection,
        "jobs",
        id=completed(version),
        state="completed",
        finish_reason="stop",
        **job,
        **ran,
        **counted,
        **said,
    )
    add(connection, "jobs", id=failed(version), state="failed", **job, **ran, **counted, **said, **bad)
    add(connection, "jobs", id=waiting(version), state="pending", attempt=0, **job, **named)
    add(connection, "jobs", id=running(version), state="processing", **job, **ran)
    for ended in (completed(version), failed(version)):
        cost = {"cost": COST} if number >= 2 else {}
        add(connection, "usage", job_id=ended, account_id=ACCOUNT, key_id=KEY, model=MODEL, **counted, **cost)
    if number >= 2:
        _write_what_is_around(connection, version, ran, ended_ms)
    if number >= 6:
        connection.execute(text("DELETE FROM shares"))
        add(connection, "shares", model=MODEL, account_id=ACCOUNT, counter=float(number))
    if number >= 10:
        day = {"account_id": ACCOUNT, "key_id": KEY, "model": MODEL, "day": ended_ms // DAY_MS, "jobs": 2}
        tokens = {"prompt_tokens": 2 * PROMPT_TOKENS, "completion_tokens": 2 * COMPLETION_TOKENS}
        add(connection, "usage_days", **day, **tokens, cost=2 * COST)
    if number >= 9:
        if number == 9:
            add(connection, "media", hash=PICTURE.hash, content=PICTURE.content, brought_ms=ended_ms)
        add(connection, "job_media", job_id=waiting(version), hash=PICTURE.hash)
    _write_what_goes_on(connection, number, deadline_ms - MOMENT_MS)


def _write_what_goes_on(connection: Connection, number: int, now_ms: int) -> None:
    """What is counted, told and set beside the jobs."""
    if number >= 11:
        rows.write_measures(connection, MODEL, sums_since_measured(number), 2 * (number - 10), now_ms)
    if number == 12:
        rows.write_webhooks(connection, ACCOUNT, now_ms)
    if number >= 12:
        rows.write_deliveries(connection, f"{number:04}", now_ms)
    if number == 13:
        rows.write_what_admins_set(connection, MODEL)
    if number == 14:
        rows.write_secrets(connection)


def sums_since_measured(number: int) -> dict[str, int]:
    """What the jobs that ended from 0011 on came to, when this version was left."""
    jobs = 2 * (number - 10)
    tokens = {"prompt_tokens": jobs * PROMPT_TOKENS, "completion_tokens": jobs * COMPLETION_TOKENS}
    return {**tokens, "cached_tokens": jobs * 3, "cost": jobs * COST}


def _write_people(connection: Connection) -> None:
    limits = json.dumps({"submissions_per_minute": 700, "submissions_per_hour": 800, "reads_per_minute": 900})
    add(connection, "accounts", id=ACCOUNT, name="old", created_ms=1)
    add(
        connection,
        "api_keys",
        id=KEY,
        account_id=ACCOUNT,
        name="k",
        prefix="inft_",
        key_hash=secret_hash(SECRET),
        role="admin",
        created_ms=1,
        limits=limits,
    )


def _write_what_is_around(connection: Connection, version: str, ran: dict[str, Any], ended_ms: int) -> None:
    for job_id in (completed(version), failed(version), running(version)):
        placed = {key: ran[key] for key in ("attempt", "node_id", "engine_id", "placed_ms")}
        if version >= "0013" and job_id != running(version):
            placed |= {"first_ms": ended_ms - 300, "last_ms": ended_ms}
        add(connection, "placements", job_id=job_id, considered="[]", **placed)
    for job_id in (waiting(version), running(version)):
        add(connection, "reservations", job_id=job_id, owner_id=KEY, amount=HELD)
        connection.execute(text("UPDATE budgets SET reserved = reserved + :held"), {"held": HELD})
    held = {"account_id": ACCOUNT, "body_hash": "h", "job_id": completed(version), "created_ms": ended_ms}
    add(connection, "idempotency", key=f"key of {version}", **held)
    connection.execute(
        text("UPDATE budgets SET spent = spent + :spent"), {"spent": 2 * (PROMPT_TOKENS + COMPLETION_TOKENS)}
    )
