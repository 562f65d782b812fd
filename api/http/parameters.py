"""Parameters in queries, paths and headers, read strictly: a value that is not of the right form is refused by name."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from fastapi import Depends, Header, Path, Query, Request
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.http.bodies import INT64, OptionalMoment, without_nul
from api.http.sse import END_ID
from api.replica.intake import MAX_IDEMPOTENCY_KEY_CHARACTERS
from cluster.errors import (
    AccountNotFound,
    BadRequest,
    DeliveryNotFound,
    JobNotFound,
    KeyNotFound,
    ModelNotFound,
    NotFound,
    WebhookNotFound,
)
from cluster.ids import AccountId, DeliveryId, JobId, KeyId, NodeId, WebhookId
from cluster.job_states import JobState
from cluster.messages.money import UsageGrouping
from cluster.messages.records import JobPosition
from cluster.messages.webhooks import Delivery
from cluster.messages.work import Position
from cluster.nearest import hint

CURSOR_PATTERN = r"^[0-9]{1,18}\.job_[0-9a-f]{16,64}$"

DELIVERY_CURSOR_PATTERN = r"^[0-9]{1,18}\.msg_[0-9a-f]{16,64}$"

_cursor = re.compile(CURSOR_PATTERN)
_delivery_cursor = re.compile(DELIVERY_CURSOR_PATTERN)


def encode_cursor(last: JobPosition) -> str:
    created_ms, job_id = last
    return f"{created_ms}.{job_id}"


def decode_cursor(cursor: str) -> JobPosition:
    """The last job that was looked at already. Raises ValueError for one that is not ours."""
    if not _cursor.fullmatch(cursor):
        raise ValueError("not a cursor of this list")
    created_ms, _, job_id = cursor.partition(".")
    return int(created_ms), JobId(job_id)


def encode_delivery_cursor(last: Delivery) -> str:
    return f"{last.created_ms}.{last.id}"


def decode_delivery_cursor(cursor: str) -> tuple[int, DeliveryId]:
    """As `decode_cursor`, in a list of deliveries."""
    if not _delivery_cursor.fullmatch(cursor):
        raise ValueError("not a cursor of this list")
    created_ms, _, delivery = cursor.partition(".")
    return int(created_ms), DeliveryId(delivery)


DeliveryStatusName = Literal["all", "pending", "delivered", "failed"]
StatusName = Literal["all", "pending", "processing", "completed", "failed"]

MAX_DIGITS = 18
"""Every number of so many digits has 64 bits."""

_POSITION = re.compile(r"(?:(?P<epoch>[1-9][0-9]{0,8})-)?(?P<offset>[0-9]{1,19})")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}")
_FLAGS: Mapping[Any, bool] = {"true": True, "false": False, True: True, False: False}
_ERROR_CODE_PATTERN = r"^[a-z_]{1,64}$"
_ERROR_CODE = re.compile(_ERROR_CODE_PATTERN)
_PARTS_OF_METRICS = ("all", "system", "engines")
_GROUPINGS: tuple[UsageGrouping, ...] = ("account", "key", "model", "day")
_GROUPING = f"({'|'.join(_GROUPINGS)})"
_SHOWN_CHARACTERS = 64


async def _known_and_once(request: Request) -> None:
    """Raises BadRequest for a parameter that there is not, and for one that is given twice: what is meant?"""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = [parameter.alias for parameter in route.dependant.query_params]
    for name in request.query_params:
        if name not in known:
            raise BadRequest(f"{name[:_SHOWN_CHARACTERS]}: unknown parameter{hint(name, known) if known else ''}")
        if len(request.query_params.getlist(name)) > 1:
            raise BadRequest(f"{name}: must not be given more than once")


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


def _valid_cursor(value: str) -> str:
    try:
        decode_cursor(value)
    except ValueError:
        raise PydanticCustomError("cursor", "is not a cursor of this list") from None
    return value


def _error_code(value: str) -> str:
    if not _ERROR_CODE.fullmatch(value):
        raise PydanticCustomError("error_code", "must be an error's code, such as timeout")
    return value


def _valid_delivery_cursor(value: str) -> str:
    try:
        decode_delivery_cursor(value)
    except ValueError:
        raise PydanticCustomError("cursor", "is not a cursor of this list") from None
    return value


def _groupings(value: str) -> str:
    if not set(value.split(",")) <= set(_GROUPINGS):
        raise PydanticCustomError("grouping", "must be of account, key, model and day, with commas between")
    return value


def _usage_format(value: str) -> str:
    if value not in ("json", "csv"):
        raise PydanticCustomError("format", "must be json or csv")
    return value


def _part_of_metrics(value: str) -> str:
    if value not in _PARTS_OF_METRICS:
        raise PydanticCustomError("part", "must be one of all, system, engines")
    return value


# What may be left out is documented without null, which no query can hold.
KnownAndOnce = Depends(_known_and_once)
Limit = Annotated[int, Field(ge=1, le=100), BeforeValidator(_whole_number), Query()]
Wait = Annotated[
    int,
    Field(ge=0, le=60),
    BeforeValidator(_whole_number),
    Query(description="Answer when the job has ended, or after so many seconds"),
]
Minutes = Annotated[
    int,
    Field(ge=1, le=1440),
    BeforeValidator(_whole_number),
    Query(description="How many of the last minutes to tell of"),
]
PartOfMetrics = Annotated[
    Literal["all", "system", "engines"],
    BeforeValidator(_part_of_metrics),
    WithJsonSchema({"type": "string", "enum": list(_PARTS_OF_METRICS)}),
    Query(description="All, or without what each engine counts of itself, or that alone"),
]
Flag = Annotated[bool, BeforeValidator(_flag), Query()]
POSITION_PATTERN = rf"^({END_ID}|([1-9][0-9]{{0,8}}-)?[0-9]{{1,{MAX_DIGITS}}})$"
After = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": POSITION_PATTERN}),
    Query(description="What has been delivered already: a number of characters, or the id of an event"),
]
Since = Annotated[OptionalMoment, Query(description="Inclusive; ISO 8601, without a zone it is UTC")]
Until = Annotated[OptionalMoment, Query(description="Exclusive; ISO 8601, without a zone it is UTC")]
Cursor = Annotated[
    str | None,
    BeforeValidator(_valid_cursor),
    WithJsonSchema({"type": "string", "pattern": CURSOR_PATTERN}),
    Query(description="The `next_cursor` of the page before"),
]
DeliveryCursor = Annotated[
    str | None,
    BeforeValidator(_valid_delivery_cursor),
    WithJsonSchema({"type": "string", "pattern": DELIVERY_CURSOR_PATTERN}),
    Query(description="The `next_cursor` of the page before"),
]
GroupBy = Annotated[
    str | None,
    BeforeValidator(_groupings),
    WithJsonSchema({"type": "string", "pattern": f"^{_GROUPING}(,{_GROUPING})*$"}),
    Query(description="Several with commas between, such as `day,model`"),
]
UsageFormat = Annotated[
    Literal["json", "csv"] | None,
    BeforeValidator(_usage_format),
    WithJsonSchema({"type": "string", "enum": ["json", "csv"]}),
    Query(description="Goes before what the header Accept asks for"),
]
_NAME_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1, "pattern": r"^[^\u0000]*$"}
ModelName = Annotated[
    str | None,
    BeforeValidator(_text),
    WithJsonSchema(_NAME_SCHEMA),
    Query(description="Of this model or adapter, by id or alias"),
]
KeyName = Annotated[
    KeyId | None, BeforeValidator(_text), WithJsonSchema(_NAME_SCHEMA), Query(description="Submitted with this key")
]
NodeName = Annotated[
    NodeId | None, BeforeValidator(_text), WithJsonSchema(_NAME_SCHEMA), Query(description="Placed last on this node")
]
ErrorCode = Annotated[
    str | None,
    BeforeValidator(_error_code),
    WithJsonSchema({"type": "string", "pattern": _ERROR_CODE_PATTERN}),
    Query(description="Failed with this code"),
]
AccountOrAll = Annotated[
    AccountId | None,
    BeforeValidator(_text),
    WithJsonSchema(_NAME_SCHEMA),
    Query(description="An account's id, or `all`; only an admin may name another than its own"),
]
AccountName = Annotated[
    AccountId | None,
    BeforeValidator(_text),
    WithJsonSchema(_NAME_SCHEMA),
    Query(description="An account's id; only an admin may name another than its own"),
]


def state_of(status: StatusName) -> JobState | None:
    """The state to list, None for all."""
    return None if status == "all" else JobState(status)


def groupings(names: str | None) -> tuple[UsageGrouping, ...]:
    """What to group by, each once, in the order in which it was asked for."""
    asked = () if names is None else names.split(",")
    return tuple(dict.fromkeys(cast(UsageGrouping, name) for name in asked))


def parse_position(name: str, value: str | None) -> Position | None:
    """A position in a text, as the id of an event tells it; None after the end. Raises BadRequest."""
    if value is None:
        return Position()
    if value == END_ID:
        return None
    match = _POSITION.fullmatch(value)
    if match is None or int(match["offset"]) > INT64:
        raise BadRequest(f"{name}: must be a whole number of characters, not negative, or the id of an event")
    return Position(int(match["offset"]), int(match["epoch"] or 1))


async def _job_id(job_id: Annotated[str, Path()]) -> JobId:
    if "\0" in job_id:
        raise JobNotFound("No such job")
    return JobId(job_id)


async def _key_id(key_id: Annotated[str, Path()]) -> KeyId:
    if "\0" in key_id:
        raise KeyNotFound("No such key")
    return KeyId(key_id)


async def _account_id(account_id: Annotated[str, Path()]) -> AccountId:
    if "\0" in account_id:
        raise AccountNotFound("No such account")
    return AccountId(account_id)


async def _webhook_id(webhook_id: Annotated[str, Path()]) -> WebhookId:
    if "\0" in webhook_id:
        raise WebhookNotFound("No such webhook")
    return WebhookId(webhook_id)


async def _delivery_id(delivery_id: Annotated[str, Path()]) -> DeliveryId:
    if "\0" in delivery_id:
        raise DeliveryNotFound("No such delivery of this webhook")
    return DeliveryId(delivery_id)


async def _model_name(model_id: Annotated[str, Path()]) -> str:
    if not model_id:
        raise NotFound("No such path")
    if "\0" in model_id:
        raise ModelNotFound("No such model")
    return model_id


async def _adapter_name(adapter_id: Annotated[str, Path()]) -> str:
    if not adapter_id:
        raise NotFound("No such path")
    if "\0" in adapter_id:
        raise ModelNotFound("No such adapter")
    return adapter_id


AdapterPath = Annotated[str, Depends(_adapter_name)]
ModelPath = Annotated[str, Depends(_model_name)]
AccountPath = Annotated[AccountId, Depends(_account_id)]
JobPath = Annotated[JobId, Depends(_job_id)]
KeyPath = Annotated[KeyId, Depends(_key_id)]
WebhookPath = Annotated[WebhookId, Depends(_webhook_id)]
DeliveryPath = Annotated[DeliveryId, Depends(_delivery_id)]


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
