"""Fields of OpenAI's API that this one does not offer: refused by name where they would change the answer."""

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from api.http.bodies import Request


class MustBe:
    """Marks a field that may have one of these values only, which ask for nothing; without any, only null.

    It is read as None, and refused with any other value.
    """

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


Refused = Annotated[Any, MustBe()]
"""May only be null."""


class UnsupportedFields(Request):
    """The fields of a chat completion that are not offered here, and would change its answer if they were."""

    audio: Refused = None
    frequency_penalty: Annotated[Any, MustBe(0)] = None
    function_call: Annotated[Any, MustBe("none", "auto")] = None
    functions: Annotated[Any, MustBe([])] = None
    logit_bias: Annotated[Any, MustBe({})] = None
    logprobs: Annotated[Any, MustBe(False)] = None
    modalities: Annotated[Any, MustBe(["text"])] = None
    moderation: Refused = None
    n: Annotated[Any, MustBe(1)] = None
    prediction: Refused = None
    presence_penalty: Annotated[Any, MustBe(0)] = None
    reasoning_effort: Annotated[Any, MustBe("none")] = None
    tool_choice: Annotated[Any, MustBe("none", "auto")] = None
    tools: Annotated[Any, MustBe([])] = None
    top_logprobs: Annotated[Any, MustBe(0)] = None
    verbosity: Annotated[Any, MustBe("medium")] = None
    web_search_options: Refused = None
