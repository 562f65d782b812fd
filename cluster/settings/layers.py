"""Where settings come from: a YAML file, the environment, the command line, each stronger than the last.

The layers are partial; they are merged, and what comes out is checked once.
"""

import json
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, NoReturn

import yaml
from msgspec import Struct, structs

from cluster.catalogue import BUILTIN_PREFIX, CAPITALS
from cluster.errors import ConfigError
from cluster.settings.chat_templates import read_chat_templates
from cluster.settings.checks import Value
from cluster.settings.schema import Settings, settings, spelled_out

_VARIABLE_PREFIX = "INFERNET"
_COMMAND_LINE = "command line"
_KEY_REASON = "a key must be text: put it in quotes"


def load(path: Path | None, env: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of the file at `path`, of `env`'s INFERNET_ variables and of `overrides`, the strongest.

    A variable's name is the key path joined with `_`: `INFERNET_SERVER_PORT`. An empty one counts as not set,
    and one that names no setting is not ours to judge. What nothing sets has its default.

    Raises ConfigError, one line that names the place and the reason, for what cannot be used.
    """
    layers = [
        read_chat_templates(file_layer(path), path.parent) if path else Value({}, ""),
        _environment_layer(env),
        _layer(overrides or {}, _COMMAND_LINE),
    ]
    return settings(reduce(_merged, map(_replicas_spelled_out, layers)))


def parse(obj: Any, origin: str) -> Settings:
    """The settings in `obj`, made of plain mappings, lists and scalars, as `msgspec.to_builtins` leaves them.

    Raises ConfigError, one line that begins with `origin`.
    """
    return settings(read_chat_templates(_layer(obj, origin), Path()))


def single_model(id_or_folder: str) -> dict[str, Any]:
    """The catalogue entry of one model, as a layer: of a folder if it exists, else of a hub id.

    The model that is served when nothing else is asked for has its options with it.

    Raises ConfigError for what can only be a folder and does not exist.
    """
    folder = Path(id_or_folder)
    if id_or_folder and folder.is_dir():
        return {"id": folder.resolve().name, "source": str(folder.resolve())}
    if id_or_folder.startswith(("/", "./", "../", "~")):
        raise ConfigError(f"{_COMMAND_LINE}: no such folder: {id_or_folder}")
    if id_or_folder == CAPITALS.source:
        return {"id": CAPITALS.id, "source": CAPITALS.source, "engine": dict(CAPITALS.engine)}
    return {"id": id_or_folder.removeprefix(BUILTIN_PREFIX), "source": id_or_folder}


def file_layer(path: Path) -> Value:
    """What a YAML file says, each value with its place. Raises ConfigError for a file that cannot be read."""
    try:
        return _yaml_layer(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply, or contains itself") from error


def _yaml_layer(text: str, file: str) -> Value:
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return _Reader(loader, file).value(root, 1, "") if root else Value({}, file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{file}:{line}: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{file}:{line}: contains a character that YAML does not allow") from error


class _Reader:
    """Turns YAML nodes into Values. The line of a value in a mapping is its key's."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self._loader = loader
        self._file = file

    def value(self, node: yaml.Node, line: int, path: str) -> Value:
        return Value(self._content(node, line, path), self._place(line, path))

    def _content(self, node: yaml.Node, line: int, path: str) -> Any:
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self.value(item, _line(item), _item_path(path, index)) for index, item in enumerate(node.value)]
            case _:
                return self._scalar(node, line, path)

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Value]:
        mapping: dict[str, Value] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            key = self._key(key_node, path)
            key_path = _key_path(path, key)
            if key in mapping:
                self._refuse(line, key_path, f"is already set on line {lines[key]}")
            lines[key] = line
            mapping[key] = self.value(value_node, line, key_path)
        return mapping

    def _key(self, node: yaml.Node, path: str) -> str:
        key = self._scalar(node, _line(node), path) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            self._refuse(_line(node), path, _KEY_REASON)
        return key

    def _scalar(self, node: yaml.Node, line: int, path: str) -> Any:
        try:
            return self._loader.construct_object(node)
        except ValueError as error:
            # What YAML takes for a number or a date by its looks, such as 2026-02-30.
            self._refuse(line, path, f"cannot be read: {error}")

    def _refuse(self, line: int, path: str, reason: str) -> NoReturn:
        raise ConfigError(f"{self._place(line, path)}: {reason}")

    def _place(self, line: int, path: str) -> str:
        return _placed(f"{self._file}:{line}", path)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _environment_layer(env: Mapping[str, str]) -> Value:
    root: dict[str, Any] = {}
    for key_path, kind in _scalar_keys(Settings):
        variable = "_".join((_VARIABLE_PREFIX, *key_path)).upper()
        if text := env.get(variable):
            *sections, key = key_path
            section = root
            for name in sections:
                section = section.setdefault(name, Value({}, variable)).content
            section[key] = _texts(text, variable) if kind == _TEXTS else Value(_as(kind, text), variable)
    return Value(root, "")


_TEXTS = tuple[str, ...]


def _scalar_keys(struct: type[Struct]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The paths and types of all settings that are one number, one text, or several texts."""
    for field in structs.fields(struct):
        if field.type in (int, str, _TEXTS):
            yield (field.encode_name,), field.type
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


def _layer(obj: Any, origin: str, path: str = "") -> Value:
    return Value(_layer_content(obj, origin, path), _placed(origin, path))


def _layer_content(obj: Any, origin: str, path: str) -> Any:
    match obj:
        case Mapping():
            if not all(isinstance(key, str) for key in obj):
                raise ConfigError(f"{_placed(origin, path)}: {_KEY_REASON}")
            return {key: _layer(item, origin, _key_path(path, key)) for key, item in obj.items()}
        case list() | tuple():
            return [_layer(item, origin, _item_path(path, index)) for index, item in enumerate(obj)]
        case scalar:
            return scalar


def _placed(origin: str, path: str) -> str:
    return f"{origin}: {path}" if path else origin


def _key_path(path: str, key: str) -> str:
    shown = key if key.isprintable() else json.dumps(key)
    return f"{path}.{shown}" if path else shown


def _item_path(path: str, index: int) -> str:
    return f"{path}[{index}]"


def _replicas_spelled_out(layer: Value) -> Value:
    """The layer with `server.replicas: 2` as min and max, so that another layer can set one of the two."""
    match layer.content:
        case {"server": Value(content={"replicas": Value() as replicas}) as server}:
            content = server.content | {"replicas": spelled_out(replicas)}
            return Value(layer.content | {"server": Value(content, server.place)}, layer.place)
        case _:
            return layer


def _merged(low: Value, high: Value) -> Value:
    """What `high` sets, over what `low` sets. Lists are not merged: the higher one stands."""
    if not isinstance(high.content, dict):
        return high
    if not isinstance(low.content, dict):
        # Not a mapping where one belongs: kept, so that it is refused by its own place.
        return low
    both = low.content.keys() & high.content.keys()
    merged = {key: _merged(low.content[key], high.content[key]) for key in both}
    return Value(low.content | high.content | merged, low.place)
