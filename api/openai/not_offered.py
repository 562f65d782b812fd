"""What OpenAI's API has and this one has not: refused by name where it would change the answer, never ignored."""

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from api.http.bodies import Request


class Only:
    """Marks a field that may have no other than these values, which ask for nothing. It is read as None."""

    def __init__(self, *harmless: Any) -> None:
        self._harmless = harmless

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": list(self._harmless)} if self._harmless else {"type": "null"}

    def _check(self, value: Any) -> None:
        # In Python True is 1.
        if not any(value == same and isinstance(value, bool) == isinstance(same, bool) for same in self._harmless):
            raise PydanticCustomError("not_offered", "is not offered here")


Refused = Annotated[Any, Only()]
"""May only be null."""


class NotOffered(Request):
    """The fields of a chat completion that would change its answer if they were offered."""

    audio: Refused = None
    frequency_penalty: Annotated[Any, Only(0)] = None
    function_call: Annotated[Any, Only("none", "auto")] = None
    functions: Annotated[Any, Only([])] = None
    logit_bias: Annotated[Any, Only({})] = None
    logprobs: Annotated[Any, Only(False)] = None
    modalities: Annotated[Any, Only(["text"])] = None
    moderation: Refused = None
    n: Annotated[Any, Only(1)] = None
    prediction: Refused = None
    presence_penalty: Annotated[Any, Only(0)] = None
    reasoning_effort: Annotated[Any, Only("none")] = None
    tool_choice: Annotated[Any, Only("none", "auto")] = None
    tools: Annotated[Any, Only([])] = None
    top_logprobs: Annotated[Any, Only(0)] = None
    verbosity: Annotated[Any, Only("medium")] = None
    web_search_options: Refused = None
