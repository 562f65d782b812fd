"""What a completion goes on from: a text, the token ids of one, or several of either."""

from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.http.bodies import INT64

MAX_PROMPTS = 1024
"""As vLLM's own server has it."""


def number_of_prompts(prompt: Any) -> int:
    """A list of numbers is one prompt, any other list several."""
    return len(prompt) if isinstance(prompt, list) and not _is_ids(prompt) else 1


def with_whole_numbers(given: Any) -> Any:
    """As it is, with the whole numbers in its lists that are written as `512.0`."""
    match given:
        case list():
            return [with_whole_numbers(each) for each in given]
        case float() if given.is_integer():
            return int(given)
        case _:
            return given


def _checked(given: Any) -> Any:
    prompt = with_whole_numbers(given)
    if not _is_one(prompt) and not _is_several(prompt):
        raise PydanticCustomError("prompt", "must be a text, a list of token ids, or a list of several of one of these")
    if number_of_prompts(prompt) > MAX_PROMPTS:
        raise PydanticCustomError("prompts", "must not have more than {most} prompts", {"most": MAX_PROMPTS})
    return prompt


def _is_one(prompt: Any) -> bool:
    return _is_text(prompt) or _is_ids(prompt)


def _is_several(prompts: Any) -> bool:
    return isinstance(prompts, list) and (all(map(_is_text, prompts)) or all(map(_is_ids, prompts))) and bool(prompts)


def _is_text(prompt: Any) -> bool:
    return isinstance(prompt, str) and bool(prompt) and "\0" not in prompt


def _is_ids(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and all(map(_is_id, prompt))


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT64


_TEXT = {"type": "string", "pattern": r"^[^\u0000]*$", "minLength": 1}
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": INT64}, "minItems": 1}


def _several(one: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_PROMPTS}


Prompts = Annotated[
    Any, AfterValidator(_checked), WithJsonSchema({"anyOf": [_TEXT, _IDS, _several(_TEXT), _several(_IDS)]})
]
