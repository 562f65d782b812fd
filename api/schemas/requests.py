"""How request bodies are read: strict types, unknown fields ignored, null for the default, one field named if wrong."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from cluster.errors import BadRequest

INT64 = 2**63 - 1
_SHOWN_CHARACTERS = 64

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
        if not isinstance(body, dict):
            return body
        return {key: value for key, value in body.items() if value is not None}


R = TypeVar("R", bound=Request)


def parse(kind: type[R], body: bytes) -> R:
    """Raises BadRequest, naming the first field that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(_first_problem(error)) from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if problem["type"] == "json_invalid":
        return "Request body is not valid JSON"
    return f"{_place(problem)}: {_IN_PLAIN_WORDS.get(problem['type'], problem['msg'])}"


def _place(problem: ErrorDetails) -> str:
    """`messages[0].content`. Names that the client made up are shown in part."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part[:_SHOWN_CHARACTERS]}" for part in problem["loc"])
    return "".join(parts).removeprefix(".") or "Request body"
