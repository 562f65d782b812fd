"""What an endpoint's answer means for a delivery."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from cluster.messages.webhooks import Attempted, Due, Problem
from cluster.webhooks.schedule import HOUR_MS, next_ms

GONE: Final = 410
LONGEST_PAUSE_MS: Final = HOUR_MS
_TOO_MUCH: Final = (429, 503)


def outcome(
    due: Due, status: int | None, problem: Problem | None, retry_after: str, now_ms: int, chance: float
) -> Attempted:
    """What is to be written down of this attempt: the delivery has ended, or is tried again."""
    attempt = due.attempts + 1
    if problem is None or status == GONE:
        gone_url = due.url if status == GONE else ""
        return Attempted(due.id, due.webhook_id, attempt, now_ms, status, problem, gone_url=gone_url)
    then_ms = next_ms(attempt, due.begun_ms, now_ms, retry_after_ms(retry_after, now_ms), chance)
    return Attempted(due.id, due.webhook_id, attempt, now_ms, status, problem, then_ms)


def pause_ms(status: int | None, retry_after: str, now_ms: int) -> int:
    """For how long an endpoint that answered so wants nothing else either. Bounded, lest it is never asked again."""
    if status not in _TOO_MUCH:
        return 0
    return min(retry_after_ms(retry_after, now_ms), LONGEST_PAUSE_MS)


def retry_after_ms(header: str, now_ms: int) -> int:
    """How long this `Retry-After` asks to wait; nothing where it says nothing: RFC 9110, 10.2.3."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        # More digits than a time has are as good as for ever, and no number that would take long to read.
        return int(text[:12]) * 1000
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int((moment - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds() * 1000))
