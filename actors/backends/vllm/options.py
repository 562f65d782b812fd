"""What a catalogue may say of a vLLM model: the options of vLLM's engine, by the names of the version installed here.

Importing vLLM takes many seconds, and a start is to refuse a misspelt option at once: names and types are read from the
source of `EngineArgs`. What else may be in values is vLLM's to judge, when the model loads. Parsers of answers are
options of vLLM's server, and of nothing that loads: their names are judged here (`parsers.py`).
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from actors.backends.vllm import parsers
from actors.backends.vllm.sources import hint, source
from actors.backends.vllm.values import fault_of, kind_of, named_kinds
from cluster.conversation import SERVER_OPTIONS
from cluster.settings.judging import Fault


def faults(options: Mapping[str, Any]) -> Iterator[Fault]:
    """Those that the vLLM installed here does not have or take. Without one, nobody knows."""
    kinds = _kinds()
    for option, value in options.items():
        if option == "model":
            yield Fault(option, "that is said by the model's source")
        elif option in SERVER_OPTIONS or option in parsers.OPTIONS or not kinds:
            continue
        elif option not in engine_args():
            yield Fault(option, f"vLLM has no such option{hint(option, [*engine_args(), *SERVER_OPTIONS])}")
        elif reason := fault_of(option, value, kinds[option]):
            yield Fault(option, reason)
    yield from parsers.faults(options)


@cache
def engine_args() -> frozenset[str]:
    """The names of vLLM's `EngineArgs`; none where vLLM is not installed."""
    return frozenset(name for name in _kinds() if not name.startswith("_"))


@cache
def _kinds() -> Mapping[str, frozenset[Any] | None]:
    """What each option may be, None where that is not told as plainly as it is looked for here."""
    named = named_kinds()
    classes = [node for node in source("engine/arg_utils.py") if isinstance(node, ast.ClassDef)]
    return {
        statement.target.id: kind_of(statement.annotation, named)
        for each in classes
        if each.name == "EngineArgs"
        for statement in each.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
