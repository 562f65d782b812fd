"""How a JSON Schema is told to vLLM, and how its grammar goes on where another engine left it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from cluster import json_schemas

CONFIG: Mapping[str, Any] = {
    # Left to choose, vLLM takes what the first schema needs, and keeps it for all later ones, whatever they need. A job
    # that goes on elsewhere must find the grammar it began with.
    "backend": "xgrammar",
    # Small models go on with spaces and line ends until their tokens are used up.
    "disable_any_whitespace": True,
}
"""vLLM's StructuredOutputsConfig, where the catalogue says nothing else."""

TRIAL = '{"enum": ["structured"]}'
"""A schema that only one text follows, and that text."""
TRIAL_ANSWER = '"structured"'

RESUMED = "infernet_resumed_tokens"
"""How many of a prompt's last tokens belong to the answer: a request's extra argument."""


class Constraint(Struct, frozen=True):
    """A schema that an answer follows, as vLLM is told it; the prompt's last `resumed` tokens belong to the answer."""

    schema: str
    resumed: int


def constraint(schema: str, resumed: int) -> Constraint:
    """Raises UnsupportedSchema."""
    return Constraint(grammar_schema(schema), resumed)


def grammar_schema(schema: str) -> str:
    """The schema as xgrammar does it right: a string with nothing but a length could have raw control characters in it.

    Raises UnsupportedSchema.
    """
    root = json_schemas.parse(schema)
    for each in json_schemas.schemas(root):
        if "minLength" in each or "maxLength" in each:
            each["pattern"] = f"^.{{{each.pop('minLength', 0)},{each.pop('maxLength', '')}}}$"
    return json.dumps(root)


def reason(error: Exception) -> str:
    """What vLLM has against a schema, without the places in its sources."""
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", " ".join(str(error).split()))


def resume(grammar: Any, request: Any) -> Any:
    """A request's new grammar, told of the tokens resumed from.

    Raises ValueError when they do not follow it. vLLM then ends this request, and no other.
    """
    resumed = (request.sampling_params.extra_args or {}).get(RESUMED, 0)
    if resumed and not grammar.accept_tokens(request.request_id, request.prompt_token_ids[-resumed:]):
        raise ValueError(f"{request.request_id}: its {resumed} resumed tokens do not follow its grammar")
    return grammar
