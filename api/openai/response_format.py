"""What form an answer has to have: a JSON Schema that the engine can be held to."""

import asyncio
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from api.http.bodies import INT64, AnyText, Request
from cluster import json_schemas
from cluster.errors import BadRequest
from cluster.json_schemas import UnsupportedSchema

_ANY_OBJECT = '{"type":"object"}'


class JsonSchemaFormat(Request):
    """A schema that the answer has to follow, always strictly."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    schema_: Annotated[Any, Field(alias="schema", json_schema_extra={"type": "object"})]
    strict: bool = False
    description: AnyText = ""


class ResponseFormat(Request):
    """`json_schema` goes with the type of that name."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


async def json_schema(wanted: ResponseFormat | None) -> str | None:
    """The schema to follow, as JSON text. Raises BadRequest for one that no answer can be made to follow."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return _ANY_OBJECT
    if wanted.json_schema is None:
        raise BadRequest("response_format.json_schema: is required")
    # In a thread: the check of a large schema takes long enough for every stream to notice.
    return await asyncio.to_thread(_checked, wanted.json_schema.schema_)


def _checked(schema: Any) -> str:
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    try:
        json_schemas.parse(text)
        _refuse_extremes(schema)
    except UnsupportedSchema as error:
        raise BadRequest(f"response_format: the JSON Schema cannot be used: {error}") from None
    return text


def _refuse_extremes(value: Any) -> None:
    """What this API takes nowhere: NUL characters, and integers beyond 64 bits."""
    match value:
        case dict():
            for key, member in value.items():
                _refuse_extremes(key)
                _refuse_extremes(member)
        case list():
            for member in value:
                _refuse_extremes(member)
        case str() if "\0" in value:
            raise UnsupportedSchema("must not contain NUL characters")
        case int() if not -INT64 - 1 <= value <= INT64:
            raise UnsupportedSchema("must not contain integers of more than 64 bits")
