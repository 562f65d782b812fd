"""Query parameters of the job list."""

from datetime import UTC, datetime

from cluster.errors import BadRequest
from cluster.jobs import JobState


def parse_status(status: str) -> JobState | None:
    """The state to list, None for all. Raises BadRequest."""
    if status == "all":
        return None
    try:
        return JobState(status)
    except ValueError:
        raise BadRequest(f"status: must be one of all, {', '.join(JobState)}") from None


def parse_since(since: str | None) -> int | None:
    """ISO 8601 as milliseconds since the epoch; without a zone it is UTC, a date alone its midnight."""
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise BadRequest("since: must be an ISO 8601 date or time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
