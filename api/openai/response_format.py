"""What form an answer has to have: a JSON Schema that the engine can be held to."""

import asyncio
import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from api.http.bodies import INT64, AnyText, ExactRequest, field_refused
from api.http.body_hash import LATER
from cluster import json_schemas
from cluster.errors import BadRequest
from cluster.json_schemas import UnsupportedSchema

_ANY_OBJECT = '{"type":"object"}'


class JsonSchemaFormat(ExactRequest):
    """A schema that the answer has to follow, always strictly."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    schema_: Annotated[Any, Field(alias="schema", json_schema_extra={"type": "object"})]
    strict: bool = False
    description: AnyText = ""


_OF_TYPES = {
    "json_schema": "json_schema",
    "format": "structural_tag",
    "structures": "structural_tag",
    "triggers": "structural_tag",
}


class ResponseFormat(ExactRequest):
    """`json_schema` goes with the type of that name, the others with `structural_tag`, in one of vLLM's two forms."""

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchemaFormat | None = None
    format: Annotated[Any, LATER] = None
    structures: Annotated[list[dict[str, Any]], LATER] = Field(default_factory=list)
    triggers: Annotated[list[str], LATER] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _schemas_have_a_place(cls, body: Any) -> Any:
        if isinstance(body, dict) and body.get("schema") is not None:
            raise field_refused("schema", "has its place in json_schema, beside its name, and type is json_schema then")
        return body

    @model_validator(mode="after")
    def _of_its_type(self) -> "ResponseFormat":
        """What another type has would have no effect."""
        for field, kind in _OF_TYPES.items():
            if getattr(self, field) and self.type != kind:
                raise field_refused(field, f"goes with type {kind}, not {self.type}")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, serialise: Any) -> Any:
        """Hashes of bodies are taken of this."""
        said = serialise(self)
        return {key: value for key, value in said.items() if key in ("type", "json_schema") or value}


async def json_schema(wanted: ResponseFormat | None) -> str | None:
    """The schema to follow, as JSON text. Raises BadRequest for one that no answer can be made to follow."""
    if wanted is None or wanted.type in ("text", "structural_tag"):
        return None
    if wanted.type == "json_object":
        return _ANY_OBJECT
    if wanted.json_schema is None:
        raise BadRequest("response_format.json_schema: is required")
    # In a thread: the check of a large schema takes long enough for every stream to notice.
    return await asyncio.to_thread(_checked, wanted.json_schema.schema_)


def structural_tag(wanted: ResponseFormat | None) -> dict[str, Any]:
    """The option of vLLM's that asks for structural tags, where they are wanted."""
    if wanted is None or wanted.type != "structural_tag":
        return {}
    said = wanted.model_dump(exclude_defaults=True) | {"type": wanted.type}
    return {"structured_outputs": {"structural_tag": json.dumps(said)}}


def check_one_form(structured_outputs: Any, wanted: ResponseFormat | None) -> None:
    """Raises BadRequest where an answer is to have two forms."""
    if structured_outputs and wanted and wanted.type != "text":
        raise BadRequest("structured_outputs: may not be given together with response_format")


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
