"""The reference of the command line: every command with its arguments and flags, as one page."""

from collections.abc import Iterator, Sequence
from typing import Any

import typer

from api.cli.main import app

_HEAD = """# Commands, every flag

What `infernet COMMAND --help` says. [The command line](../cli.md) says what they are for.

"""


def page() -> str:
    """The page, of the commands as they are."""
    return _HEAD + "\n".join(_lines(typer.main.get_command(app), "infernet")) + "\n"


# Typer has click within itself, and no types of it for others.
def _lines(command: Any, name: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for each, found in command.commands.items():
            if not found.hidden:
                yield from _lines(found, f"{name} {each}")
        return
    arguments = [_shown(each) for each in command.params if each.param_type_name == "argument"]
    yield f"## `{' '.join([name, *arguments])}`\n"
    yield f"{(command.help or '').strip()}\n"
    yield from _options([each for each in command.params if each.param_type_name == "option" and not each.hidden])


def _shown(argument: Any) -> str:
    name = argument.name.upper()
    return name if argument.required else f"[{name}]"


def _options(options: Sequence[Any]) -> Iterator[str]:
    if options:
        yield "| flag | | |\n|---|---|---|"
    for option in options:
        is_told = isinstance(option.default, str | int | float) and not isinstance(option.default, bool)
        default = f"default `{option.default}`" if is_told and option.default != "" else ""
        yield f"| {', '.join(f'`{name}`' for name in option.opts)} | {_cell(option.help or '')} | {default} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
