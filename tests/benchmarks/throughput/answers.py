"""What kinds of answers can be asked for, and what that takes of a request and of the engine. All systems are told the
same, and every answer has as many tokens as any other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_GET_CAPITAL = {
    "type": "function",
    "function": {
        "name": "get_capital",
        "description": "The capital of a country",
        "parameters": {"type": "object", "properties": {"country": {"type": "string"}}, "required": ["country"]},
    },
}
# A call that goes on until the answer has its tokens. The model chooses to call, as far as the server can see: what
# it writes is not told to be a call, and is found to be one.
_ENDLESS_CALL = r'<tool_call>\n\{"name": "get_capital", "arguments": \{"country": "[a-z ]{5000,6000}"\}\}\n</tool_call>'


@dataclass(frozen=True)
class Answers:
    """Fields of every request, and options of the engine. Those that follow a grammar need a model that ends answers:
    as they cannot end before the grammar does, they have as many tokens as are asked for all the same."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)
    ends: bool = False


KINDS: Mapping[str, Answers] = {
    "text": Answers(),
    "logprobs": Answers({"logprobs": True, "top_logprobs": 3}),
    "tools": Answers(
        {"tools": [_GET_CAPITAL], "tool_choice": "auto", "structured_outputs": {"regex": _ENDLESS_CALL}},
        {"tool_call_parser": "hermes"},
        ends=True,
    ),
}
