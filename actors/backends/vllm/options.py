"""What a catalogue may say of a vLLM model: the options of vLLM's engine, by the names of the version installed here.

Importing vLLM takes many seconds, and a start is to refuse a misspelt option at once: the names are read from the
source of `EngineArgs`. Their values are vLLM's to judge, when the model loads.
"""

import ast
import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def validate(options: Mapping[str, Any]) -> None:
    """Raises ValueError for the first option that the vLLM installed here does not have. Without one, nobody knows."""
    names = engine_args()
    for option in options:
        if option == "model":
            raise ValueError("engine.model: that is said by the model's source")
        if names and option not in names:
            raise ValueError(f"engine.{option}: vLLM has no such option{_hint(option, names)}")


@cache
def engine_args() -> frozenset[str]:
    """The names of vLLM's `EngineArgs`; none where vLLM is not installed."""
    spec = find_spec("vllm")
    if spec is None or spec.origin is None:
        return frozenset()
    source = (Path(spec.origin).parent / "engine" / "arg_utils.py").read_text()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "EngineArgs"]
    return frozenset(name for name in _fields(classes) if not name.startswith("_"))


def _fields(classes: Iterable[ast.ClassDef]) -> Iterable[str]:
    for each in classes:
        for statement in each.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                yield statement.target.id


def _hint(option: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(option.replace("-", "_").lower(), sorted(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
