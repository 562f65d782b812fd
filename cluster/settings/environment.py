"""Settings in the environment, as shells, Docker and Kubernetes really set it: with quotes, blanks and line ends.

A variable's name is the key path joined with `_`: `INFERNET_SERVER_PORT`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_origin

from msgspec import Struct, structs

from cluster.nearest import nearest
from cluster.settings.checks import Value
from cluster.settings.plain import plain
from cluster.settings.schema import Settings

PREFIX = "INFERNET"
OTHERS = ("INFERNET_STATE", "INFERNET_ADMIN_KEY", "INFERNET_URL", "INFERNET_KEY")
"""What is no setting of a system."""

_ALIKE = 0.85
# https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
_SERVICE_LINK = re.compile(r"(?:tcp|udp|sctp)://[^ ]+", re.IGNORECASE)
_OF_SERVICES = re.compile(r".*_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?|PORT)")


def given(env: Mapping[str, str], variable: str) -> str | None:
    """What a variable says; None where it is not set, or empty.

    Quotes around it are whoever's who wrote the file it is from, and so are blanks and line ends. What Kubernetes says
    of a Service whose name makes it a variable of ours is not for us.
    """
    text = plain(env.get(variable, ""))
    return None if not text or _SERVICE_LINK.fullmatch(text) else text


def environment_layer(env: Mapping[str, str]) -> Value:
    """What these variables say. One that names no setting is not ours to judge."""
    root: dict[str, Any] = {}
    for key_path, kind in _scalar_keys(Settings):
        variable = _variable(key_path)
        if (text := given(env, variable)) is not None:
            *sections, key = key_path
            section = root
            for name in sections:
                section = section.setdefault(name, Value({}, variable)).content
            section[key] = _texts(text, variable) if kind == _TEXTS else Value(_as(kind, text), variable)
    return Value(root, "")


def misspelt(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables that name no setting and are nearly one that does, each with that one."""
    known = [*OTHERS, *(_variable(key_path) for key_path, _ in _scalar_keys(Settings))]
    for variable in sorted(env):
        if variable.startswith(f"{PREFIX}_") and variable not in known and not _OF_SERVICES.fullmatch(variable):
            meant = nearest(variable, known, _ALIKE)
            if meant is not None and meant not in env:
                yield variable, meant


def _variable(key_path: tuple[str, ...]) -> str:
    return "_".join((PREFIX, *key_path)).upper()


_TEXTS = tuple[str, ...]


def _scalar_keys(struct: type[Struct]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The paths and types of all settings that are one number, one text, or several texts."""
    for field in structs.fields(struct):
        if field.type in (int, float, str, _TEXTS):
            yield (field.encode_name,), field.type
        elif get_origin(field.type) is Literal:
            yield (field.encode_name,), str
        elif field.type == int | None:
            yield (field.encode_name,), int
        elif isinstance(field.type, type) and issubclass(field.type, Struct):
            for path, kind in _scalar_keys(field.type):
                yield (field.encode_name, *path), kind


def _texts(text: str, variable: str) -> Value:
    """What a variable lists, with commas between."""
    return Value([Value(each.strip(), variable) for each in text.split(",") if each.strip()], variable)


def _as(kind: type, text: str) -> Any:
    """`text` as a `kind` if it is one; the check refuses it otherwise."""
    try:
        return kind(text)
    except ValueError:
        return text
