"""Query parameters, read strictly: what is not exactly one value of the right form is refused, and named."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.cursor import CURSOR_PATTERN, decode_cursor
from api.schemas.requests import INT64, without_nul
from api.schemas.times import OptionalMoment
from cluster.errors import BadRequest
from cluster.jobs import JobState
from cluster.messages import UsageGrouping

StatusName = Literal["all", "pending", "processing", "completed", "failed"]

MAX_DIGITS = 18
"""Every number of so many digits has 64 bits."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}")
_FLAGS: Mapping[Any, bool] = {"true": True, "false": False, True: True, False: False}
_GROUPINGS = ("key", "model", "day")


async def _once_each(request: Request) -> None:
    """Raises BadRequest for a parameter that is given twice: nobody can know which one is meant."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    for parameter in route.dependant.query_params:
        if len(request.query_params.getlist(parameter.alias)) > 1:
            raise BadRequest(f"{parameter.alias}: must not be given more than once")


def _whole_number(value: Any) -> int:
    if isinstance(value, int):  # the default
        return value
    if not _WHOLE_NUMBER.fullmatch(value):
        raise PydanticCustomError("whole_number", "must be a whole number")
    return int(value)


def _flag(value: Any) -> bool:
    if value not in _FLAGS:
        raise PydanticCustomError("flag", "must be true or false")
    return _FLAGS[value]


def _text(value: str) -> str:
    if not value:
        raise PydanticCustomError("empty", "must not be empty")
    return without_nul(value)


def _cursor(value: str) -> str:
    try:
        decode_cursor(value)
    except ValueError:
        raise PydanticCustomError("cursor", "is not a cursor of this list") from None
    return value


def _grouping(value: str) -> str:
    if value not in _GROUPINGS:
        raise PydanticCustomError("grouping", "must be one of key, model, day")
    return value


# What may be left out is documented without null, which no query can hold.
OnceEach = Depends(_once_each)
Limit = Annotated[int, Field(ge=1, le=100), BeforeValidator(_whole_number), Query()]
Wait = Annotated[
    int,
    Field(ge=0, le=60),
    BeforeValidator(_whole_number),
    Query(description="Answer when the job has ended, or after so many seconds"),
]
Flag = Annotated[bool, BeforeValidator(_flag), Query()]
Position = Annotated[
    int | None,
    Field(ge=0, le=INT64),
    BeforeValidator(_whole_number),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 10**MAX_DIGITS - 1}),
    Query(description="Characters that have been delivered already"),
]
Since = Annotated[OptionalMoment, Query(description="Inclusive; ISO 8601, without a zone it is UTC")]
Until = Annotated[OptionalMoment, Query(description="Exclusive; ISO 8601, without a zone it is UTC")]
Cursor = Annotated[
    str | None,
    BeforeValidator(_cursor),
    WithJsonSchema({"type": "string", "pattern": CURSOR_PATTERN}),
    Query(description="The `next_cursor` of the page before"),
]
GroupBy = Annotated[
    UsageGrouping | None,
    BeforeValidator(_grouping),
    WithJsonSchema({"type": "string", "enum": list(_GROUPINGS)}),
    Query(),
]
AccountName = Annotated[
    str | None,
    BeforeValidator(_text),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"^[^\u0000]*$"}),
    Query(description="An account's id; only an admin may name another than its own"),
]


def state_of(status: StatusName) -> JobState | None:
    """The state to list, None for all."""
    return None if status == "all" else JobState(status)


def parse_position(name: str, value: str) -> int:
    """A position in a text. Raises BadRequest."""
    if not _WHOLE_NUMBER.fullmatch(value) or not 0 <= int(value) <= INT64:
        raise BadRequest(f"{name}: must be a whole number of characters, not negative")
    return int(value)
