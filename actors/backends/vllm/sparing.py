"""White space in JSON that is part of a longer text, such as a call of a tool: one character at a time.

vLLM 0.29 keeps `disable_any_whitespace` to JSON that is an answer by itself. Its parsers of tool calls ask for
structural tags, in which a small model goes on with line ends until its tokens are used up.
"""

import json
from collections.abc import Iterator
from functools import wraps
from typing import Any

_AT_MOST = 1
"""The least that xgrammar takes. With none, `{"a": 1}` could not be written, which most models are trained to."""


def install() -> None:
    """Have the structural tags of this process of vLLM be sparing where its configuration says so of all JSON."""
    from vllm.v1.structured_output.backend_types import StructuredOutputOptions
    from vllm.v1.structured_output.backend_xgrammar import XgrammarBackend

    compile_grammar = XgrammarBackend.compile_grammar
    if hasattr(compile_grammar, "__wrapped__"):
        return

    @wraps(compile_grammar)
    def compile_sparing(backend: Any, kind: Any, spec: str, *more: Any, **named: Any) -> Any:
        if kind == StructuredOutputOptions.STRUCTURAL_TAG and backend.disable_any_whitespace:
            spec = sparing(spec)
        return compile_grammar(backend, kind, spec, *more, **named)

    XgrammarBackend.compile_grammar = compile_sparing


def sparing(structural_tag: str) -> str:
    """The tag, with no more white space in its JSON than has to be; what it says itself of that stands."""
    tag = json.loads(structural_tag)
    for schema in _json_formats(tag.get("format")):
        if schema.get("max_whitespace_cnt") is None:
            schema["max_whitespace_cnt"] = _AT_MOST
    return json.dumps(tag)


def _json_formats(told: Any) -> Iterator[dict[str, Any]]:
    """The formats in this one that are JSON of a schema. What the schemas say is none of them."""
    match told:
        case {"type": "json_schema", "json_schema": _}:
            if told.get("style", "json") == "json":
                yield told
        case dict():
            for each in told.values():
                yield from _json_formats(each)
        case list():
            for each in told:
                yield from _json_formats(each)
