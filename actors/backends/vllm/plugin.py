"""A plugin of vLLM's, which it loads in each of its processes (the entry point in pyproject.toml)."""

from functools import wraps
from typing import Any

from actors.backends.vllm import structured


def install() -> None:
    """Have the grammars of this process of vLLM begin after the tokens resumed from.

    vLLM begins a grammar with the first token it generates itself, but a resumed job's first tokens are part of its
    prompt. Grammars are made in vLLM's engine process: this is a plugin of vLLM's (the entry point in pyproject.toml),
    which it calls in each of its processes, perhaps repeatedly. That it works is tried when a model loads.
    """
    from vllm.v1.structured_output import StructuredOutputManager

    create = StructuredOutputManager._create_grammar
    if hasattr(create, "__wrapped__"):
        return

    @wraps(create)
    def create_resumed(manager: Any, request: Any) -> Any:
        return structured.resume(create(manager, request), request)

    StructuredOutputManager._create_grammar = create_resumed
