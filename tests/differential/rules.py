"""What counts as equal: everything but what stands here, with the reason.

docs/openai.md tells the same to users.
"""

import re
from collections.abc import Mapping
from typing import Any

DROPPED: Mapping[str, str] = {
    "system_fingerprint": "names a build of vLLM's and the process that runs it",
    "created": "the time; of a model, when its server was started",
    "root": "where each of the two servers has the model's files",
    "permission": "made up anew for every answer, and of no use to anybody",
    "owned_by": "says who serves the model",
}
"""Fields that are left out of answers, wherever they are, and why."""

MARKED: Mapping[str, str] = {
    "id": "each server makes its own; what comes before the random part is compared",
    "request_id": "as `id`",
}
"""Fields of which only the form is compared, and why."""

NULLS = "OpenAI's clients read a field that is null as one that is not there, so neither is told from the other"

ERRORS = (
    "of a refusal the status and the kind of error are compared, and the field that it names where vLLM names one; "
    "not the message, nor `code`, which is the status again in vLLM's answers"
)

ERROR_TYPES: Mapping[str, str] = {
    "Bad Request": "invalid_request_error",
    "BadRequestError": "invalid_request_error",
    "NotFoundError": "not_found_error",
    "NotImplementedError": "invalid_request_error",
    "UnprocessableEntityError": "invalid_request_error",
    "InternalServerError": "server_error",
}
"""What vLLM calls the kinds of errors, and OpenAI's documentation. Its clients look at the status."""

STREAMS = (
    "a server may cut its stream where it likes: neighbouring pieces of the same kind are joined before they are "
    "compared; what the first chunk, those between, the last and the one of the usage say beside is compared as it is"
)

CLOSENESS = 1e-3
"""How far apart two log probabilities may be: the last digits depend on what else is in a batch."""

_RANDOM = re.compile(r"[0-9a-f]{8,}(-[0-9a-f]{4,})*|[0-9A-Za-z]{9,}$")
_PARAM_PREFIX = "body."


def plain(value: Any) -> Any:
    """The answer, or a part of it, without what is not compared."""
    match value:
        case dict():
            kept = {name: each for name, each in value.items() if name not in DROPPED and each is not None}
            return {name: form(each) if name in MARKED else plain(each) for name, each in kept.items()}
        case list():
            return [plain(each) for each in value]
    return value


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
    return re.split(r"[.\[]", param.removeprefix(_PARAM_PREFIX))[0] if isinstance(param, str) else None


def same(theirs: Any, ours: Any) -> bool:
    """Whether two values that are neither objects nor lists are the same."""
    if _is_number(theirs) and _is_number(ours) and float in (type(theirs), type(ours)):
        return abs(theirs - ours) <= CLOSENESS
    return type(theirs) is type(ours) and bool(theirs == ours)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
