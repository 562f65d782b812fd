"""vLLM's parsers of answers, by name: those of tool calls and those of reasoning."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from actors.backends.vllm.sources import hint, source
from cluster.settings.judging import Fault

OPTIONS = ("tool_call_parser", "reasoning_parser")
_SWITCHES = ("enable_auto_tool_choice", "exclude_tools_when_tool_choice_none")


def faults(options: Mapping[str, Any]) -> Iterator[Fault]:
    """What names a parser that vLLM does not have. Parsers of a plugin have names that only the plugin knows."""
    for switch in _SWITCHES:
        if not isinstance(options.get(switch, False), bool):
            yield Fault(switch, "must be true or false")
    if options.get("enable_auto_tool_choice") is True and not options.get("tool_call_parser"):
        yield Fault("enable_auto_tool_choice", "needs a tool_call_parser")
    yield from _unknown("tool_call_parser", options, tool_parsers())
    if not options.get("reasoning_parser_plugin"):
        yield from _unknown("reasoning_parser", options, reasoning_parsers())


def _unknown(option: str, options: Mapping[str, Any], names: frozenset[str]) -> Iterator[Fault]:
    name = options.get(option)
    if name is None:
        return
    if not isinstance(name, str):
        yield Fault(option, "must be text")
    elif names and name not in names:
        yield Fault(option, f"vLLM has no parser {name}{hint(name, names)}")


@cache
def tool_parsers() -> frozenset[str]:
    """The names of vLLM's parsers of tool calls; none where vLLM is not installed."""
    return _keys("tool_parsers/__init__.py", "_TOOL_PARSERS_TO_REGISTER")


@cache
def reasoning_parsers() -> frozenset[str]:
    """The names of vLLM's parsers of reasoning; none where vLLM is not installed."""
    return _keys("reasoning/__init__.py", "_REASONING_PARSERS_TO_REGISTER")


def _keys(file: str, table: str) -> frozenset[str]:
    """The keys of a dict that one of vLLM's files has under this name."""
    for statement in source(file):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=keys)) if name == table:
                return frozenset(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return frozenset()
