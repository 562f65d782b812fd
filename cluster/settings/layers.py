"""Where settings come from: a YAML file, the environment, the command line, each stronger than the last.

The layers are partial; they are merged, and what comes out is checked once.
"""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from cluster.catalogue import BUILTIN_PREFIX, CAPITALS
from cluster.errors import ConfigError
from cluster.settings.chat_templates import read_chat_templates
from cluster.settings.checks import Value
from cluster.settings.environment import environment_layer
from cluster.settings.judging import NO_JUDGE, Judge
from cluster.settings.mistakes import Mistakes
from cluster.settings.paths import read_paths
from cluster.settings.places import item_path, key_path, placed
from cluster.settings.schema import Settings, settings
from cluster.settings.sections.replicas import spelled_out
from cluster.settings.yaml_file import KEY_REASON, file_layer

_COMMAND_LINE = "command line"


def load(
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    judge: Judge = NO_JUDGE,
) -> Settings:
    """The settings of the file at `path`, of `env`'s INFERNET_ variables and of `overrides`, the strongest.

    A variable's name is the key path joined with `_`: `INFERNET_SERVER_PORT`. An empty one counts as not set,
    and one that names no setting is not ours to judge. What nothing sets has its default. `judge` knows what models
    can be.

    Raises ConfigError for what cannot be used, with a line for each thing, which names the place and the reason.
    """
    mistakes = Mistakes()
    layers = [environment_layer(env), _layer(overrides or {}, _COMMAND_LINE)]
    if path is not None:
        layers.insert(0, read_chat_templates(read_paths(file_layer(path), path.parent), path.parent, mistakes))
    found = Settings()
    with mistakes.noted():
        found = settings(reduce(_merged, map(_replicas_spelled_out, layers)), judge)
    mistakes.tell()
    return found


def parse(obj: Any, origin: str, judge: Judge = NO_JUDGE) -> Settings:
    """The settings in `obj`, made of plain mappings, lists and scalars, as `msgspec.to_builtins` leaves them.

    Raises ConfigError, of which each line begins with `origin`.
    """
    mistakes = Mistakes()
    layer = read_chat_templates(_layer(obj, origin), Path(), mistakes)
    found = Settings()
    with mistakes.noted():
        found = settings(layer, judge)
    mistakes.tell()
    return found


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


def _layer(obj: Any, origin: str, path: str = "") -> Value:
    return Value(_layer_content(obj, origin, path), placed(origin, path))


def _layer_content(obj: Any, origin: str, path: str) -> Any:
    match obj:
        case Mapping():
            if not all(isinstance(key, str) for key in obj):
                raise ConfigError(f"{placed(origin, path)}: {KEY_REASON}")
            return {key: _layer(item, origin, key_path(path, key)) for key, item in obj.items()}
        case list() | tuple():
            return [_layer(item, origin, item_path(path, index)) for index, item in enumerate(obj)]
        case scalar:
            return scalar


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
