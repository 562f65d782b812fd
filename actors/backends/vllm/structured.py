"""How a JSON Schema is told to vLLM, and how its grammar goes on where another engine left it."""

import json
import re
from collections.abc import Mapping
from functools import wraps
from typing import Any

from msgspec import Struct

from actors.backends.vllm import resuming
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


class Constraint(Struct, frozen=True):
    """What an answer follows: options of vLLM's StructuredOutputsParams."""

    options: Mapping[str, Any]


def constraint(schema: str) -> Constraint:
    """That of a JSON Schema. Raises UnsupportedSchema."""
    return Constraint({"json": grammar_schema(schema)})


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


def install() -> None:
    """Have the grammars of this process of vLLM begin after the tokens resumed from (`resuming.py`).

    They are made in vLLM's engine process.
    """
    from vllm.v1.structured_output import StructuredOutputManager

    create = StructuredOutputManager._create_grammar
    if hasattr(create, "__wrapped__"):
        return

    @wraps(create)
    def create_resumed(manager: Any, request: Any) -> Any:
        return resume(create(manager, request), request)

    StructuredOutputManager._create_grammar = create_resumed


def resume(grammar: Any, request: Any) -> Any:
    """A request's new grammar, told of the tokens resumed from, but for those that were free of it.

    Raises ValueError when they do not follow it. vLLM then ends this request, and no other.
    """
    resumed = list(request.output_token_ids)[resuming.free(request.sampling_params) :]
    if resumed and not grammar.accept_tokens(request.request_id, resumed):
        raise ValueError(f"{request.request_id}: its {len(resumed)} resumed tokens do not follow its grammar")
    return grammar
