"""What a catalogue may say of a vLLM model: the options of vLLM's engine, by the names of the version installed here.

Importing vLLM takes many seconds, and a start is to refuse a misspelt option at once: the names are read from the
source of `EngineArgs`. Their values are vLLM's to judge, when the model loads. Parsers of answers are options of vLLM's
server, and of nothing that loads: their names are judged here (`parsers.py`).
"""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from actors.backends.vllm import parsers
from actors.backends.vllm.sources import hint, source
from cluster.conversation import SERVER_OPTIONS


def validate(options: Mapping[str, Any]) -> None:
    """Raises ValueError for the first option that the vLLM installed here does not have. Without one, nobody knows."""
    names = engine_args()
    for option in options:
        if option == "model":
            raise ValueError("engine.model: that is said by the model's source")
        if names and option not in names and option not in SERVER_OPTIONS:
            raise ValueError(f"engine.{option}: vLLM has no such option{hint(option, [*names, *SERVER_OPTIONS])}")
    parsers.validate(options)


@cache
def engine_args() -> frozenset[str]:
    """The names of vLLM's `EngineArgs`; none where vLLM is not installed."""
    statements = source("engine/arg_utils.py")
    classes = [node for node in statements if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"]
    return frozenset(name for name in _fields(classes) if not name.startswith("_"))


def _fields(classes: Iterable[ast.ClassDef]) -> Iterable[str]:
    for each in classes:
        for statement in each.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                yield statement.target.id
