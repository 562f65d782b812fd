"""What counts as equal: everything but what stands here, with the reason.

docs/openai.md tells the same to users.
"""

import base64
import re
import struct
from collections.abc import Mapping
from typing import Any

DROPPED: Mapping[str, str] = {
    "system_fingerprint": "names a build of vLLM's and the process that runs it",
    "created": "the time; of a model, when its server was started",
    "root": "where each of the two servers has the model's files",
    "permission": "made up anew for every answer, and of no use to anybody",
    "owned_by": "says who serves the model",
    "created_cache_tokens": "vLLM's own count of what it newly keeps of a prompt, which OpenAI's API has not",
}
"""Fields that are left out of answers, wherever they are, and why."""

MARKED: Mapping[str, str] = {
    "id": "each server makes its own; what comes before the random part is compared",
}
"""Fields of which only the form is compared, and why."""

TOLD: Mapping[str, str] = {
    "cached_tokens": "depends on what a server was asked before; that it is told is compared",
}
"""Fields of which it only counts that they are there, and why."""

ERROR_TYPES: Mapping[str, str] = {
    "Bad Request": "invalid_request_error",
    "BadRequestError": "invalid_request_error",
    "NotFoundError": "not_found_error",
    "NotImplementedError": "invalid_request_error",
    "UnprocessableEntityError": "invalid_request_error",
    "InternalServerError": "server_error",
}
"""What vLLM calls the kinds of errors, and OpenAI's documentation. Its clients look at the status."""

CLOSENESS = 1e-3

RULES = (
    "A field that is null is as good as one that is not there: OpenAI's clients tell neither from the other.",
    "Of a refusal the status is compared, the kind of error, and the field that it names where vLLM names one; not the "
    "message, nor `code`, which in vLLM's answers is the status again. vLLM's names of kinds count as OpenAI's.",
    "vLLM begins some streams before it finds that it must refuse them, and refuses in their first event. That counts "
    "as a refusal with the status that the event tells.",
    "A stream may be cut anywhere: neighbouring pieces of the same kind are joined, and so are log probabilities and "
    "token ids. What the first chunk, the last and that of the usage say beside is compared as it is; of the others, "
    "which fields they have. Usage that is told with every chunk has to grow.",
    "Log probabilities, scores and the numbers of vectors may be apart by a thousandth: their last digits depend on "
    "what else is in a batch.",
)
"""The rules, for docs/openai.md."""

_RANDOM = re.compile(r"[0-9a-f]{8,}(-[0-9a-f]{4,})*|[0-9A-Za-z]{9,}$")
_BODY = "body."
# What vLLM calls a prompt that is too long, and a body that is none.
_NO_FIELDS = {"input_text", "input_tokens", "body"}
# vLLM says the old name, whichever was sent.
_ALIASES = {"max_completion_tokens": "max_tokens"}


def plain(value: Any) -> Any:
    """The answer, or a part of it, without what is not compared."""
    match value:
        case dict():
            kept = {name: each for name, each in value.items() if name not in DROPPED and each is not None}
            return {name: _field(name, each) for name, each in kept.items()}
        case list():
            return [plain(each) for each in value]
    return value


def _field(name: str, value: Any) -> Any:
    if name in MARKED:
        return form(value)
    if name in TOLD:
        return "told"
    return _vector(value) if name == "embedding" and isinstance(value, str) else plain(value)


def _vector(text: str) -> dict[str, list[float]]:
    """A vector that was sent as base64, since its last digits are not compared."""
    return {"base64": [number for (number,) in struct.iter_unpack("<f", base64.b64decode(text))]}


def form(text: Any) -> Any:
    """An id without its random part."""
    return _RANDOM.sub("*", text) if isinstance(text, str) else text


def error(body: Any) -> Any:
    """What is compared of a refusal's body, and of an error in a stream."""
    if not isinstance(body, Mapping) or not isinstance(body.get("error"), Mapping):
        return body
    told = body["error"]
    kind = told.get("type")
    return {"error": {"type": ERROR_TYPES.get(kind, kind), "param": _param(told.get("param"))}}


def _param(param: Any) -> Any:
    """The field alone: vLLM names some by where they stand in the body, down to the variant of a union."""
    field = re.split(r"[.\[]", param.removeprefix(_BODY))[0] if isinstance(param, str) else None
    return None if field is None or field in _NO_FIELDS or field.isdecimal() else _ALIASES.get(field, field)


def same(theirs: Any, ours: Any) -> bool:
    """Whether two values that are neither objects nor lists are the same."""
    if _is_number(theirs) and _is_number(ours) and float in (type(theirs), type(ours)):
        return bool(abs(theirs - ours) <= CLOSENESS)
    return type(theirs) is type(ours) and bool(theirs == ours)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
