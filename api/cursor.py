"""Where a list of jobs goes on: opaque to clients."""

import base64

from cluster.errors import BadRequest
from cluster.messages import JobRecord

_MOST_DIGITS = 18
_NOT_OURS = BadRequest("cursor: not a cursor of this list")


def encode_cursor(last: JobRecord) -> str:
    return base64.urlsafe_b64encode(f"{last.created_ms}.{last.id}".encode()).decode()


def decode_cursor(cursor: str) -> tuple[int, str]:
    """The (created_ms, id) of the last job already listed. Raises BadRequest for one that is not ours."""
    try:
        created_ms, _, job_id = base64.b64decode(cursor, b"-_", validate=True).decode("ascii").partition(".")
    except ValueError:
        raise _NOT_OURS from None
    if not (job_id.startswith("job_") and created_ms.isdigit() and len(created_ms) <= _MOST_DIGITS):
        raise _NOT_OURS
    return int(created_ms), job_id
