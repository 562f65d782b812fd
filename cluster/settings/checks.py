"""How a value that was written is checked, whatever setting it is of: each check returns what it means, or refuses it.

A value knows where it was written, so that a refusal can say so. All that is wrong in it is refused at once.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from msgspec import Struct

from cluster.catalogue import MAX_NAME_CHARACTERS
from cluster.errors import ConfigError
from cluster.nearest import hint
from cluster.settings.mistakes import Mistakes
from cluster.settings.units import Unit, in_words

_SHOWN_CHARACTERS = 60
_POWER = re.compile(r"[+-]?[0-9.]+[eE][+-]?[0-9]+")
_CREDENTIALS = re.compile(r"://[^\s]*@")


class Value(Struct, frozen=True):
    """A value as it was written: a scalar, a list of Values or a mapping of strings to Values.

    `place` begins every message about it: file, line, column and key path, or an environment variable's name.
    `written` is how a scalar stands there, where that looks like something else.
    """

    content: Any
    place: str
    written: str = ""

    def refused(self, reason: str) -> ConfigError:
        return ConfigError(f"{self.place}: {reason}")

    def is_not(self, wanted: str) -> ConfigError:
        return self.refused(f"must be {wanted}, not {self.shown()}")

    def shown(self) -> str:
        """The value in a message."""
        told = shown(self.content)
        if isinstance(self.content, int | date) and self.written not in ("", told, str(self.content)):
            return f"{shown(self.written)[1:-1]}, which YAML takes for {told}"
        return told

    def plain(self) -> Any:
        """The value without the places."""
        match self.content:
            case dict() as mapping:
                return {key: value.plain() for key, value in mapping.items()}
            case list() as items:
                return [item.plain() for item in items]
            case scalar:
                return scalar


Check = Callable[[Value], Any]


def section(value: Value, checks: Mapping[str, Check]) -> dict[str, Any]:
    """The keys that are there, each checked by its own rule."""
    mistakes = Mistakes()
    checked: dict[str, Any] = {}
    for key, item in _mapping(value).items():
        with mistakes.noted():
            if key not in checks:
                raise item.refused("unknown key" + hint(key, checks))
            checked[key] = checks[key](item)
    mistakes.tell()
    return checked


def _mapping(value: Value) -> dict[str, Value]:
    if not isinstance(value.content, dict):
        raise value.is_not("a mapping")
    return value.content


def mapping_of(check: Check) -> Check:
    return lambda value: section(value, dict.fromkeys(_mapping(value), check))


def list_of(check: Check) -> Callable[[Value], tuple[Any, ...]]:
    def checked(value: Value) -> tuple[Any, ...]:
        if not isinstance(value.content, list):
            raise value.is_not("a list")
        mistakes = Mistakes()
        items = []
        for item in value.content:
            with mistakes.noted():
                items.append(check(item))
        mistakes.tell()
        return tuple(items)

    return checked


def options(value: Value) -> dict[str, Any]:
    """Any mapping that JSON can carry: only the backend knows what it means."""
    _mapping(value)
    _carriable(value)
    plain: dict[str, Any] = value.plain()
    return plain


def _carriable(value: Value) -> None:
    match value.content:
        case dict():
            mapping_of(_carriable)(value)
        case list():
            list_of(_carriable)(value)
        case float() as number if not math.isfinite(number):
            raise value.is_not("a finite number")
        case None | bool() | int() | float() | str():
            pass
        case _:
            raise value.is_not("text, a number, true, false, null, a list or a mapping")


def text(value: Value) -> str:
    if isinstance(value.content, str):
        return value.content
    if value.content is None or isinstance(value.content, dict | list):
        raise value.is_not("text")
    raise value.refused(f"must be text: put {value.written or shown(value.content)} in quotes")


def word(value: Value) -> str:
    written = text(value)
    if not written or any(character.isspace() or not character.isprintable() for character in written):
        raise value.is_not("text without spaces and control characters")
    return written


def name(value: Value) -> str:
    written = word(value)
    if len(written) > MAX_NAME_CHARACTERS:
        raise value.refused(f"must be at most {MAX_NAME_CHARACTERS} characters, not {len(written)}")
    return written


def one_of(*choices: str) -> Check:
    def checked(value: Value) -> str:
        if value.content not in choices:
            raise value.is_not(" or ".join(choices))
        return str(value.content)

    return checked


def integer(least: int, most: int | None = None, unit: Unit | None = None) -> Callable[[Value], int]:
    """A whole number in this range, of this unit."""
    wanted = f"an integer >= {least}" if most is None else f"an integer from {least} to {most}"

    def checked(value: Value) -> int:
        number = value.content
        if isinstance(number, str | float) and (meant := in_words(number, unit)):
            raise value.refused(f"must be {wanted}, not {value.shown()}: {meant}")
        if not is_integer(number) or number < least or (most is not None and number > most):
            raise value.is_not(wanted)
        return int(number)

    return checked


def or_none(check: Check) -> Check:
    return lambda value: None if value.content is None else check(value)


def number(value: Value) -> float:
    number = value.content
    if isinstance(number, str) and _POWER.fullmatch(number):
        raise value.refused(f"must be a number >= 0, not {value.shown()}: to YAML, 6e-7 is text, and 6.0e-7 a number")
    if not (is_integer(number) or isinstance(number, float)) or not 0 <= number <= sys.float_info.max:
        raise value.is_not("a number >= 0")
    return float(number)


def is_integer(content: Any) -> bool:
    return isinstance(content, int) and not isinstance(content, bool)


def shown(content: Any) -> str:
    match content:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            # A URL may hold a password.
            hidden = _CREDENTIALS.sub("://***@", content)
            text = json.dumps(hidden, ensure_ascii=not hidden.isprintable())
        case None | bool():
            text = json.dumps(content)
        case _:
            text = str(content)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
