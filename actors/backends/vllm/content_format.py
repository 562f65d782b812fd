"""What a chat template wants the content of a message to be, as vLLM finds it out from the template.

A template that loops over parts loses a content that is text: it finds no part in it, and says nothing.

vLLM's rule is in a module that imports PyTorch, which takes seconds and hundreds of megabytes. So its functions are
taken out of that module's source, with what they call, and run without the rest.
"""

import ast
import builtins
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from actors.backends.vllm.sources import source

log = logging.getLogger(__name__)

_FILE = "renderers/hf.py"
_RULE = "_detect_content_format"
_GIVEN: Mapping[str, object] = {"logger": log}
"""What these functions use, and are given instead of vLLM's own."""

_LOOP = re.compile(r"\bfor\b(?:(?!%\}).)*?\bin\b(?:(?!%\}).)*?\bcontent\b", re.DOTALL)
"""What templates have that loop over the parts of a content."""


class Undecidable(Exception):
    """vLLM's rule cannot be had. The message says why."""


def content_format(chat_template: str) -> Literal["string", "openai"]:
    """Whether vLLM gives this template the content of messages as text or as parts. Raises Undecidable."""
    if (statements := source(_FILE)) or _LOOP.search(chat_template):
        return "openai" if _rule(statements)(chat_template, default="string") == "openai" else "string"
    return "string"


def _rule(statements: Sequence[ast.stmt]) -> Callable[..., str]:
    if not statements:
        raise Undecidable("vLLM is not installed here, which says what the chat template wants")
    names = _names(statements)
    if _RULE not in names:
        raise Undecidable(f"vLLM has no {_RULE} any more")
    closure = set(_closure(names))
    needed = [statement for statement in statements if statement in closure]
    for statement in needed:
        if isinstance(statement, ast.ImportFrom) and (statement.level or str(statement.module).startswith("vllm")):
            raise Undecidable(f"vLLM's {_RULE} needs {statement.module}")
    made: dict[str, Any] = dict(_GIVEN)
    # Annotations name types that are not there.
    future = ast.ImportFrom("__future__", [ast.alias("annotations")], level=0)
    module = ast.fix_missing_locations(ast.Module([future, *needed], []))
    exec(compile(module, f"vllm/{_FILE}", "exec"), made)
    rule: Callable[..., str] = made[_RULE]
    return rule


def _names(statements: Sequence[ast.stmt]) -> dict[str, ast.stmt]:
    """The functions and imports of a module, by the names that they have there."""
    named: dict[str, ast.stmt] = {}
    for statement in statements:
        match statement:
            case ast.FunctionDef(name=name):
                named[name] = statement
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                named |= {alias.asname or alias.name.split(".")[0]: statement for alias in aliases}
    return named


def _closure(named: Mapping[str, ast.stmt]) -> Iterator[ast.stmt]:
    """The rule, and all that it needs. Raises Undecidable for what is neither a function nor an import."""
    seen, waiting = set(_GIVEN), [_RULE]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        statement = named[name]
        yield statement
        if isinstance(statement, ast.FunctionDef):
            waiting += _globals(statement, named)


def _globals(function: ast.FunctionDef, named: Mapping[str, ast.stmt]) -> Iterator[str]:
    """The names of its module that a function uses when it is defined or runs."""
    inside = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    inside |= {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    inside |= set(_names([each for each in ast.walk(function) if isinstance(each, ast.stmt) and each is not function]))
    for name in _loaded(function) - inside - set(dir(builtins)):
        if name not in named and name not in _GIVEN:
            raise Undecidable(f"vLLM's {function.name} needs {name}")
        yield name


def _loaded(function: ast.FunctionDef) -> set[str]:
    bodies = [
        *function.body,
        *function.decorator_list,
        *function.args.defaults,
        *filter(None, function.args.kw_defaults),
    ]
    nodes = (node for body in bodies for node in ast.walk(body))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
