"""Every command says what it does, and docs/cli.md has all of them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from api.cli import exits
from api.cli.main import app

# They run until they are ended, or are for a shell.
_FOREGROUND = ("up", "demo", "keep", "env")
DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def commands(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """All that does something, with what is typed for it."""
    if not hasattr(command, "commands"):
        yield " ".join(names), command
        return
    for name, below in command.commands.items():
        yield from commands(below, *names, name)


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("typed", COMMANDS)
def test_it_says_what_it_does_in_a_sentence_and_so_do_its_parameters(typed: str) -> None:
    command = COMMANDS[typed]
    sentence = command.help.partition("\n")[0]
    assert sentence.endswith((".", ":", "?", '".')), sentence
    assert sentence[0].isupper()
    for parameter in command.params:
        assert parameter.help, f"{typed}: {parameter.name}"


@pytest.mark.parametrize("typed", COMMANDS)
def test_it_is_in_the_documentation(typed: str) -> None:
    *groups, name = typed.split()
    told = re.findall(r"`([^`]*)`", DOCS)
    assert any(text.partition(" ")[0] == name or f" {name}" in text for text in told), typed
    assert all(any(group in text.split() for text in told) for group in groups)


@pytest.mark.parametrize("typed", COMMANDS)
def test_it_tells_programs_and_any_server(typed: str) -> None:
    names = {parameter.name for parameter in COMMANDS[typed].params}
    assert "as_json" in names or typed in _FOREGROUND
    assert "url" not in names or {"key", "state"} <= names


def test_every_exit_code_is_in_the_documentation() -> None:
    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE)}
    assert documented == codes | {0}
