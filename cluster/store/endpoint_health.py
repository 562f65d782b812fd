"""Queries about how endpoints fare: since when every attempt has failed, and whether that has been so for too long."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, case, func, or_, select, update

from cluster.ids import WebhookId
from cluster.messages.webhooks import Attempted, EndpointState
from cluster.store.tables.webhooks import WEBHOOKS
from cluster.webhooks.schedule import DISABLE_AFTER_MS, UNTRIED_MS


def note(connection: Connection, attempted: Sequence[Attempted]) -> list[WebhookId]:
    """Takes in what came of these attempts, in their order. Returns the endpoints that are disabled by it.

    What this system could not send says nothing of its endpoint.
    """
    disabled: list[WebhookId] = []
    for each in attempted:
        if each.problem is None:
            connection.execute(_SUCCEEDED, {"webhook": each.webhook_id})
        elif each.problem != "not_sent":
            connection.execute(_FAILED, {"webhook": each.webhook_id, "at": each.at_ms})
            if _is_disabled(connection, each):
                disabled.append(each.webhook_id)
    return disabled


def begin_anew(connection: Connection, now_ms: int) -> None:
    """Time in which this system did not run is nobody's failure: where nothing was tried for long, it begins anew."""
    connection.execute(_UNTRIED, {"before": now_ms - UNTRIED_MS})


def states(connection: Connection) -> Mapping[EndpointState, int]:
    """How many endpoints there are of each state that there is any of."""
    return {state: int(count) for state, count in connection.execute(_STATES)}


def _is_disabled(connection: Connection, failed: Attempted) -> bool:
    disabled = connection.execute(
        _DISABLE, {"webhook": failed.webhook_id, "at": failed.at_ms, "before": failed.at_ms - DISABLE_AFTER_MS}
    )
    return disabled.rowcount > 0


BEGINS_ANEW: Final[Mapping[str, object]] = {"failing_since_ms": None, "failed_ms": None}
"""What is known of an endpoint that is tried from now on."""

_IS_IT = WEBHOOKS.c.id == bindparam("webhook")
_FAILS = WEBHOOKS.c.failing_since_ms.is_not(None)
_SUCCEEDED = update(WEBHOOKS).where(_IS_IT, _FAILS).values(BEGINS_ANEW)
# Clocks may be set back.
_IS_FIRST = or_(WEBHOOKS.c.failing_since_ms.is_(None), WEBHOOKS.c.failing_since_ms > bindparam("at"))
_FAILED = (
    update(WEBHOOKS)
    .where(_IS_IT)
    .values(
        failing_since_ms=case((_IS_FIRST, bindparam("at")), else_=WEBHOOKS.c.failing_since_ms),
        failed_ms=bindparam("at"),
    )
)
_DISABLE = (
    update(WEBHOOKS)
    .where(_IS_IT, WEBHOOKS.c.disabled_by.is_(None), WEBHOOKS.c.failing_since_ms <= bindparam("before"))
    .values(disabled_by="failures", disabled_ms=bindparam("at"))
)
_UNTRIED = update(WEBHOOKS).where(WEBHOOKS.c.failed_ms < bindparam("before")).values(BEGINS_ANEW)
_STATE = case(
    (WEBHOOKS.c.disabled_by == "request", "disabled"),
    (WEBHOOKS.c.disabled_by.is_not(None), "given_up"),
    (_FAILS, "failing"),
    else_="enabled",
).label("state")
_STATES = select(_STATE, func.count().label("count")).where(WEBHOOKS.c.removed_ms.is_(None)).group_by(_STATE)
