"""What versions from 0011 on brought besides jobs, as they left it: `older_databases.py` has it written in turn."""

import json
from typing import Any

from sqlalchemy import Connection, text

from cluster.ids import delivery_id

MINUTE_MS = 60_000
SOURCE = "gateway_1"
"""A process that has handed in a sheet for every version since 0011."""
ROUTE = ("/api/v1/jobs", "POST", "200")

HOOK, NAMED, DISABLED, REMOVED = "hook_all", "hook_named", "hook_disabled", "hook_removed"
"""One that is told of all jobs, one of those alone that name it, and two that are told of nothing any more."""
HOOK_URL = "https://example.org/hook"
SIGNING = ("whsec_bmV3", "whsec_Zm9ybWVy")

BOUNDS = {"min": 1, "max": 2, "idle_s": 30}
RESTARTS = 3
GONE = "gone"
"""A model of which something was set, and which the settings do not have any more."""

SESSIONS = "what signed the sessions of before"


def add(connection: Connection, table: str, **values: Any) -> None:
    names = ", ".join(values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(values)})"), values)


def write_measures(connection: Connection, model: str, sums: dict[str, int], jobs: int, now_ms: int) -> None:
    """Of a model's jobs that have ended since 0011, half of them completed: all that ended a moment ago."""
    half = [{"1.28": jobs // 2}, jobs // 2, jobs / 2]
    none: list[object] = [{}, 0, 0.0]
    inputs, outputs = sums["prompt_tokens"], sums["completion_tokens"]
    measured = json.dumps(
        {
            **sums,
            "durations": {"": half, "timeout": half},
            "attempts": {"new job": jobs},
            "first_text": [{"0.75": jobs // 2}, jobs // 2, 0.35 * jobs],
            "per_token": [{"0.075": jobs // 2}, jobs // 2, 0.0375 * jobs],
            "queue_wait": [{"0.64": jobs}, jobs, 0.5 * jobs],
            "gaps": none,
            "inputs": [{"4.0": jobs}, jobs, float(inputs)],
            "outputs": [{"16.0": jobs}, jobs, float(outputs)],
        }
    )
    for table in ("measures", "measure_minutes", "tallies", "tally_sources"):
        connection.execute(text(f"DELETE FROM {table}"))
    of = {"model": model, "operation": "chat"}
    add(connection, "measures", **of, sums=measured)
    add(connection, "measure_minutes", minute=now_ms // MINUTE_MS, **of, sums=measured)
    add(connection, "tallies", name="requests", labels=json.dumps(ROUTE, separators=(",", ":")), value=float(jobs))
    add(connection, "tally_sources", source=SOURCE, number=jobs, told_ms=now_ms)


def write_webhooks(connection: Connection, account_id: str, now_ms: int) -> None:
    former_until_ms = now_ms + 24 * 60 * MINUTE_MS
    secrets = [{"secret": SIGNING[0]}, {"secret": SIGNING[1], "until_ms": former_until_ms}]
    _add_webhook(connection, HOOK, account_id, HOOK_URL, ["job.completed", "job.failed"], secrets, created_ms=1)
    _add_webhook(connection, NAMED, account_id, f"{HOOK_URL}/named", [], secrets[:1], created_ms=2)
    off = {"disabled_by": "gone", "created_ms": 3}
    _add_webhook(connection, DISABLED, account_id, f"{HOOK_URL}/off", ["job.completed"], secrets[:1], **off)
    gone = {"removed_ms": now_ms, "created_ms": 4}
    _add_webhook(connection, REMOVED, account_id, f"{HOOK_URL}/removed", ["job.completed"], [], **gone)
    _add_delivery(connection, "of a removed one", REMOVED, now_ms, status="pending", attempts=0, next_ms=now_ms)


def write_deliveries(connection: Connection, version: str, now_ms: int) -> None:
    """One that has been delivered, and one that was refused and is to be tried again now."""
    done = {"status": "delivered", "attempts": 1, "last_status": 204, "ended_ms": now_ms}
    again = {"status": "pending", "attempts": 1, "last_status": 503, "problem": "refused", "next_ms": now_ms}
    _add_delivery(connection, f"delivered by {version}", HOOK, now_ms, **done)
    _add_delivery(connection, due(version), HOOK, now_ms, **again)


def write_what_admins_set(connection: Connection, model: str) -> None:
    add(connection, "model_settings", model=model, **BOUNDS, restarts=RESTARTS)
    add(connection, "model_settings", model=GONE, restarts=1)


def write_secrets(connection: Connection) -> None:
    add(connection, "own_secrets", name="sessions", secret=SESSIONS)


def due(version: str) -> str:
    """The key of the event that this version has not delivered yet."""
    return f"due since {version}"


def body(key: str) -> str:
    return json.dumps({"type": "job.completed", "timestamp": "2026-01-01T00:00:00Z", "data": {"id": key}})


def _add_webhook(
    connection: Connection,
    webhook_id: str,
    account_id: str,
    url: str,
    events: list[str],
    secrets: list[dict[str, Any]],
    **more: Any,
) -> None:
    told = {"events": json.dumps(events), "secrets": json.dumps(secrets)}
    add(connection, "webhooks", id=webhook_id, account_id=account_id, url=url, **told, **more)


def _add_delivery(connection: Connection, key: str, webhook_id: str, now_ms: int, **state: Any) -> None:
    what = {"webhook_id": webhook_id, "event": "job.completed", "body": body(key)}
    when = {"created_ms": now_ms, "begun_ms": now_ms}
    add(connection, "deliveries", id=delivery_id(key, webhook_id), **what, **when, **state)  # type: ignore[arg-type]
