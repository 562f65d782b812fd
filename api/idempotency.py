"""The header by which a client may submit the same job again without making a second one."""

from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import WithJsonSchema

from api.intake import MAX_IDEMPOTENCY_KEY_CHARACTERS
from cluster.errors import BadRequest

HEADER = "Idempotency-Key"

_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_CHARACTERS}
_Key = Annotated[
    str | None,
    WithJsonSchema(_SCHEMA),
    Header(alias=HEADER, description="The same key and the same body give the same job, for 24 hours"),
]


async def _idempotency_key(request: Request, key: _Key = None) -> str | None:
    """The header's value as it came; what it may be is checked where it is used."""
    if len(request.headers.getlist(HEADER)) > 1:
        raise BadRequest(f"{HEADER}: must not be given more than once")
    return key


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
