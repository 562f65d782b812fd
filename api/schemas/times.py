"""Times: read in any form of ISO 8601 that is usual, written in one."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

Time = Annotated[str, Field(description="UTC, whole seconds", json_schema_extra={"format": "date-time"})]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
# Of these, every one is a time. That there are others, such as the 31st of some months, no pattern can tell briefly.
_WITHOUT_ZONE = r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"
_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": _WITHOUT_ZONE},
    ],
    "examples": ["2026-04-30T14:23:41Z", "2026-04-30"],
}


def read_moment(text: Any) -> int:
    """ISO 8601 as milliseconds since the epoch; without a zone it is UTC, a date alone its midnight."""
    if not isinstance(text, str) or not _SHAPE.fullmatch(text):
        raise _no_moment()
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise _no_moment() from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Up, so that nothing before the moment counts as after it.
    return -((_EPOCH - moment) // timedelta(milliseconds=1))


def _no_moment() -> PydanticCustomError:
    return PydanticCustomError("moment", "must be an ISO 8601 date or time")


Moment = Annotated[int, BeforeValidator(read_moment), WithJsonSchema(_SCHEMA)]
OptionalMoment = Annotated[int | None, BeforeValidator(read_moment), WithJsonSchema(_SCHEMA)]
