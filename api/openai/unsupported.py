"""Fields of OpenAI's API and of vLLM's that this one does not offer: refused by name where they change the answer."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from api.http.bodies import Request
from api.http.body_hash import LATER


class MustBe:
    """Marks a field that may have one of these values only, which ask for nothing; without any, only null.

    It is read as None, and refused with any other value.
    """

    def __init__(self, *harmless: Any) -> None:
        self._harmless = harmless

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        variants = [_only(value) for value in self._harmless]
        return {"anyOf": variants} if len(variants) > 1 else variants[0] if variants else {"type": "null"}

    def _check(self, value: Any) -> None:
        # In Python True is 1.
        if not any(value == same and isinstance(value, bool) == isinstance(same, bool) for same in self._harmless):
            raise PydanticCustomError("not_offered", "is not offered here")


def _only(value: Any) -> dict[str, Any]:
    """The schema of this value, and no other, in words that generators of clients know."""
    match value:
        case bool():
            return {"type": "boolean", "const": value}
        case str():
            return {"type": "string", "const": value}
        case int() | float():
            return {"type": "number", "minimum": value, "maximum": value}
        case []:
            return {"type": "array", "items": {}, "maxItems": 0}
        case [one]:
            return {"type": "array", "items": _only(one), "minItems": 1, "maxItems": 1}
    raise TypeError(f"there is no schema for {value!r} here")


Refused = Annotated[Any, MustBe()]
"""May only be null."""


Hint = Annotated[Any, AfterValidator(lambda _: None), WithJsonSchema({})]
"""May be anything, and changes nothing."""


class UnsupportedFields(Request):
    """The fields of a chat completion that are not offered here, and would change its answer if they were."""

    audio: Refused = None
    chat_template: Annotated[Refused, LATER] = None
    function_call: Annotated[Any, MustBe("none", "auto")] = None
    functions: Annotated[Any, MustBe([])] = None
    kv_transfer_params: Annotated[Refused, LATER] = None
    length_penalty: Annotated[Any, MustBe(1.0), LATER] = None
    modalities: Annotated[Any, MustBe(["text"])] = None
    moderation: Refused = None
    prediction: Hint = None
    priority: Annotated[Hint, LATER] = None
    return_assistant_tokens_mask: Annotated[Any, MustBe(False), LATER] = None
    return_token_offsets: Annotated[Any, MustBe(False), LATER] = None
    routed_experts_prompt_start: Annotated[Any, MustBe(0), LATER] = None
    use_beam_search: Annotated[Any, MustBe(False), LATER] = None
    verbosity: Hint = None
    web_search_options: Refused = None


def not_offered(body: Mapping[str, Any]) -> str | None:
    """The first of these fields that is in this body and asks for something."""
    if UnsupportedFields.model_fields.keys().isdisjoint(body):
        return None
    try:
        UnsupportedFields.model_validate(body)
    except ValidationError as error:
        return str(error.errors()[0]["loc"][0])
    return None
