"""The files of models that are on this machine. All of it blocks."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from actors.backends.builtin import resolve_source
from cluster.catalogue import Model, is_local

CONFIG = "config.json"

_KINDS = ("safetensors", "bin", "pt", "gguf")
"""What weights are kept in, the first that there are."""

_PART = re.compile(r"(.*)-\d+-of-(\d+)\.\w+$")


def models_here(models: Iterable[Model]) -> list[str]:
    """The ids of those models of which all weights are here."""
    return [model.id for model in models if (folder := find(model)) is not None and weight_files(folder)]


def find(model: Model) -> Path | None:
    """The folder with the files of this model's source: its own, or that in the cache of the hub; None without any."""
    if not model.source:
        return None
    source = resolve_source(model.source)
    if is_local(source):
        folder = Path(source).expanduser()
        return folder if folder.is_dir() else None
    return _cached(model, source)


def weight_files(folder: Path) -> list[Path]:
    """The files with a model's weights; none where a part of them is missing."""
    of_kinds = (sorted(folder.glob(f"*.{kind}")) for kind in _KINDS)
    files = next((found for found in of_kinds if found), [])
    # Mistral's models have the same once more, in a form of Mistral's own.
    ordinary = [file for file in files if not file.name.startswith("consolidated")] or files
    parts = Counter(match.groups() for file in ordinary if (match := _PART.match(file.name)))
    return ordinary if all(count == int(of) for (_, of), count in parts.items()) else []


def _cached(model: Model, source: str) -> Path | None:
    # Not before it is needed: the process of a machine without such a model does not pay 8 MiB for it.
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    revision = model.engine.get("revision")
    try:
        # Every model has one. What else there is of it lies beside it.
        config = try_to_load_from_cache(source, CONFIG, cache_dir=cache_folder(model), revision=revision)
    except HFValidationError:
        return None
    return Path(config).parent if isinstance(config, str) else None


def cache_folder(model: Model) -> Path | None:
    """Where its engines keep what they load from the hub; None for where this process would, too."""
    if folder := model.engine.get("download_dir") or model.env.get("HF_HUB_CACHE"):
        return Path(folder).expanduser()
    if home := model.env.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return None


def hub_cache(model: Model, env: Mapping[str, str]) -> Path:
    """The same, and where that is: as the hub's library finds it in this environment."""
    return cache_folder(model) or default_cache(env)


def default_cache(env: Mapping[str, str]) -> Path:
    """https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables"""
    home = Path(env.get("HF_HOME") or Path(env.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(env.get("HF_HUB_CACHE") or home / "hub").expanduser()
