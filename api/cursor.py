"""Where a list of jobs goes on: opaque to clients."""

import re

from cluster.messages import JobRecord

CURSOR_PATTERN = r"^[0-9]{1,18}\.job_[0-9a-f]{16,64}$"

_cursor = re.compile(CURSOR_PATTERN)


def encode_cursor(last: JobRecord) -> str:
    return f"{last.created_ms}.{last.id}"


def decode_cursor(cursor: str) -> tuple[int, str]:
    """The (created_ms, id) of the last job already listed. Raises ValueError for one that is not ours."""
    if not _cursor.fullmatch(cursor):
        raise ValueError("not a cursor of this list")
    created_ms, _, job_id = cursor.partition(".")
    return int(created_ms), job_id
