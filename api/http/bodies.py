"""Request bodies, and the values that many bodies hold: texts, counts, names, times, identifiers.

Types are strict, null stands for the default, and an error names one field. Fields that are unknown are ignored, or
refused where they could be meant to keep somebody from something.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from cluster.errors import BadRequest
from cluster.nearest import hint

INT64 = 2**63 - 1
_SHOWN_CHARACTERS = 64
_OF_FIELD = "of_field"

_IN_PLAIN_WORDS = {
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "missing": "is required",
}


def without_nul(text: str) -> str:
    """The text. Databases and engines end a text at NUL, or refuse it."""
    if "\0" in text:
        raise PydanticCustomError("nul", "must not contain NUL characters")
    return text


AnyText = Annotated[str, AfterValidator(without_nul), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
Text = Annotated[AnyText, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=INT64)]


def _document_null(schema: dict[str, Any]) -> None:
    """Every field that has a default may be null."""
    for name, field in schema["properties"].items():
        if name not in schema.get("required", []) and {"type": "null"} not in field.get("anyOf", []):
            told = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
            schema["properties"][name] = told | {"anyOf": [*field.get("anyOf", [field]), {"type": "null"}]}


class Request(BaseModel):
    """A request's body, or an object in it."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, json_schema_extra=_document_null)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, body: Any) -> Any:
        return _without_nulls(body)


class ExactRequest(Request):
    """A request's body of which every field is known: a limit that is misspelt must not be no limit."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, body: Any) -> Any:
        return _without_nulls(_of_known_fields(body, cls.fields()))

    @classmethod
    def fields(cls) -> list[str]:
        """The names that its fields have in a body."""
        return [field.alias or name for name, field in cls.model_fields.items()]


class Change(ExactRequest):
    """A request's body that says what is to be otherwise: what is left out stays, and null stands for the default.

    A field that has no default takes no null.
    """

    model_config = ConfigDict(json_schema_extra={})

    def asks_for(self, field: str) -> bool:
        """Whether the body has this field, be it null."""
        return field in self.model_fields_set

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, body: Any) -> Any:
        """Which fields were null is kept: they were not left out."""
        return _of_known_fields(body, cls.fields())


def unknown_field(name: str, known: Iterable[str]) -> PydanticCustomError:
    """The refusal of a field that there is not, in a validator of the object that has it."""
    return field_refused(name, f"unknown field{hint(name, known)}")


def field_refused(name: str, reason: str) -> PydanticCustomError:
    """The refusal of a field of this name, in a validator of the object that has it."""
    return PydanticCustomError(_OF_FIELD, "{reason}", {"field": name, "reason": reason})


def _without_nulls(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    return {key: value for key, value in body.items() if value is not None}


def _of_known_fields(body: Any, known: Collection[str]) -> Any:
    """The body. Raises for a field that there is not, be it null."""
    for name in body if isinstance(body, dict) else ():
        if name not in known:
            raise unknown_field(name, known)
    return body


R = TypeVar("R", bound=Request)


def parse(kind: type[R], body: bytes) -> R:
    """Raises BadRequest, naming the first field that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(_first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    if problem["type"] == "json_invalid":
        return "Request body is not valid JSON"
    return f"{_place(problem)}: {_IN_PLAIN_WORDS.get(problem['type'], problem['msg'])}"


def _place(problem: ErrorDetails) -> str:
    """`messages[0].content`. Names that the client made up are shown in part."""
    field = [problem["ctx"]["field"]] if problem["type"] == _OF_FIELD else []
    path = [*problem["loc"], *field]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part[:_SHOWN_CHARACTERS]}" for part in path)
    return "".join(parts).removeprefix(".") or "Request body"


MAX_NAME_CHARACTERS = 128


def _without_control_characters(name: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise PydanticCustomError("name", "must not contain control characters")
    return name


Name = Annotated[
    str,
    AfterValidator(_without_control_characters),
    Field(
        min_length=1,
        max_length=MAX_NAME_CHARACTERS,
        json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"},
    ),
]


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


JobIdText = Annotated[str, Field(pattern="^job_[0-9a-f]{16,}$")]
NodeIdText = Annotated[str, Field(pattern="^node_[0-9a-f]{16,}$")]
