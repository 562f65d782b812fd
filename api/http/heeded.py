"""Fields that would change an answer, and are not heeded under the name that they have in a body.

Unknown fields are ignored, as vLLM's server ignores them. But one that is misspelt, or that another server knows by
another name, is refused: its client would not notice that it has no effect.
"""

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any, Final

from pydantic_core import PydanticCustomError

from api.http.bodies import field_refused, unknown_field
from cluster.nearest import nearest

_ALIKE: Final = 0.8
"""So much of a name has to be that of another one."""

_MOST_COMPARED: Final = 32
"""Unknown fields of one body: who sends more of them misspells nothing."""

_STRUCTURED = "structured_outputs"
ELSEWHERE: Mapping[str, str] = {
    "best_of": "n",
    "chat_template_args": "chat_template_kwargs",
    "enable_thinking": "chat_template_kwargs",
    "format": "response_format",
    "grammar": _STRUCTURED,
    "guided_choice": _STRUCTURED,
    "guided_decoding_backend": _STRUCTURED,
    "guided_grammar": _STRUCTURED,
    "guided_json": _STRUCTURED,
    "guided_regex": _STRUCTURED,
    "guided_whitespace_pattern": _STRUCTURED,
    "instructions": "messages",
    "json_schema": "response_format",
    "max_completion_tokens": "max_tokens",
    "max_length": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "min_length": "min_tokens",
    "min_new_tokens": "min_tokens",
    "n_predict": "max_tokens",
    "num_predict": "max_tokens",
    "random_seed": "seed",
    "reasoning": "reasoning_effort",
    "regex": _STRUCTURED,
    "repeat_penalty": "repetition_penalty",
    "stop_sequences": "stop",
    "structural_tag": "response_format",
    "system": "messages",
    "thinking": "chat_template_kwargs",
    "thinking_budget": "thinking_token_budget",
}
"""What OpenAI, earlier versions of vLLM, and other servers call what has this name here."""

NOWHERE = frozenset(
    (
        "do_sample",
        "dry_multiplier",
        "ec_transfer_params",
        "mirostat",
        "mirostat_eta",
        "mirostat_tau",
        "num_beams",
        "num_ctx",
        "options",
        "plugins",
        "repeat_last_n",
        "stream_options",
        "tfs_z",
        "top_a",
        "top_n_sigma",
        "transforms",
        "typical_p",
        "xtc_probability",
    )
)
"""What other servers offer, and this one does not under any name."""

HINTS = frozenset(
    (
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "request_id",
        "safety_identifier",
        "service_tier",
        "session_id",
        "store",
        "user",
        "verbosity",
    )
)
"""They change no answer."""


def heeded(body: Any, known: Collection[str]) -> Any:
    """The body, of which these fields are `known`. Raises for the first other one that is meant to have an effect."""
    if not isinstance(body, dict):
        return body
    unknown = (name for name in body if name not in known and name not in HINTS and body[name] is not None)
    for name in islice(unknown, _MOST_COMPARED):
        if refusal := _refusal(name, known):
            raise refusal
    return body


def _refusal(name: str, known: Collection[str]) -> PydanticCustomError | None:
    if name in NOWHERE:
        return field_refused(name, "is not offered here")
    here = ELSEWHERE.get(name)
    if here in known:
        return field_refused(name, f"unknown field; here it is {here}")
    if here is not None:
        return field_refused(name, "is not offered here")
    return unknown_field(name, known) if nearest(name, known, _ALIKE) else None
