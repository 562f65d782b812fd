"""What schemathesis is told of the system it is run against (SCHEMATHESIS_HOOKS)."""

import os
import re
from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

MODEL = os.environ["CONTRACT_MODEL"]
OWN_KEY = os.environ["CONTRACT_KEY_ID"]


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Names made up for models are of none: with one that exists, submissions become jobs."""
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("model"), str) and body["model"].isascii() and body["model"]:
        case.body = {**body, "model": MODEL}


@schemathesis.hook
def filter_case(context: HookContext, case: Case) -> bool:
    """Not to saw off the branch it sits on: its own key stays."""
    return (case.path_parameters or {}).get("key_id") != OWN_KEY


# Reasons to refuse that no schema can give: what a calendar has, what an account may give away, what a model has room
# for, a whole number written as 1.0 (which JSON Schema takes for an integer), one field that needs another, or another
# model, what vLLM makes of a schema of one's own, a field that is nearly another, and where a URL may lead.
_BEYOND_SCHEMAS = re.compile(
    r"must be an ISO 8601|must be in the future|as the account has|context_length_exceeded|valid integer"
    r"|may only be given with|response_format|has no tokenizer|is required where|either this or"
    r"|without echo|when using these"
    r"|no pooling model|answers dialogues of texts|is required, and text_2|only texts are offered"
    r"|when using this|min_tokens: must not be more than"
    r"|unknown field|is not offered here|goes with type|has its place in"
    r"|webhook_url|\"url: "
)


@schemathesis.hook
def filter_failure(context: HookContext, failure: Exception, case: Case, response: Response) -> bool:
    """Keep the failures that are ones by the contract."""
    if isinstance(failure, RejectedPositiveData):
        return not _BEYOND_SCHEMAS.search(response.text)
    if isinstance(failure, AcceptedNegativeData):
        # `after` wins over `Last-Event-ID`, whatever that is; a schema is looked at where the format asks for one; and
        # vLLM's own requests take numbers and truths that are texts.
        return "after" not in (case.query or {}) and not _wants_text(case.body) and not _is_lenient(case)
    return True


_SAID_AS_TEXT = re.compile(r"\s*([-+]?[0-9._]+(e[-+]?[0-9]+)?|true|false|t|f|yes|no|y|n|on|off)\s*", re.IGNORECASE)


def _is_lenient(case: Case) -> bool:
    """Whether a text, or a truth, may stand for a number here, or the other way round."""
    return case.path.endswith("/completions") and any(map(_is_said_otherwise, _values(case.body)))


def _is_said_otherwise(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_SAID_AS_TEXT.fullmatch(value))
    return value in (0, 1)


def _values(body: Any) -> Iterator[Any]:
    """What stands in the body, but for the texts of a dialogue or a prompt."""
    if isinstance(body, dict):
        for name, value in body.items():
            if name not in ("messages", "prompt"):
                yield from _values(value)
    elif isinstance(body, list):
        for value in body:
            yield from _values(value)
    else:
        yield body


def _wants_text(body: Any) -> bool:
    wanted = body.get("response_format") if isinstance(body, dict) else None
    return isinstance(wanted, dict) and wanted.get("type") == "text"
