"""What backends know of the models that settings list, before anything is loaded: their options, and their sources."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from actors.backends import builtin, option_faults
from actors.backends.sources import CONFIG, weight_files
from actors.backends.vllm.adapter_files import CONFIG as ADAPTER_CONFIG
from cluster.catalogue import BUILTIN_PREFIX, BackendName, is_local
from cluster.nearest import hint, nearest
from cluster.settings.judging import Fault

_CONFIGS = (CONFIG, "params.json")
"""What one of vLLM's model folders has, the second where Mistral made it."""

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\|[^/]*\\")
_HUB_URL = re.compile(r"(?:https?://)?(?:huggingface\.co|hf\.co)/(?P<id>[\w.-]+/[\w.-]+)(?:/.*)?")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_LONGEST_HUB_ID = 96
_SCHEME = re.compile(r"[a-z0-9+.-]+://")
_POINTER = b"version https://git-lfs"
_WITHOUT_WEIGHTS = frozenset(("dummy",))
_ELSEWHERE = frozenset(("runai_streamer", "runai_streamer_sharded", "tensorizer", "sharded_state"))


class Backends:
    """`here`: models are loaded on this machine, so a folder has to be there."""

    def __init__(self, here: bool) -> None:
        self._here = here

    def options(self, backend: BackendName, options: Mapping[str, Any]) -> Iterator[Fault]:
        return option_faults(backend, options)

    def model(self, source: str, options: Mapping[str, Any]) -> str | None:
        load_format = str(options.get("load_format", "auto"))
        if load_format in _ELSEWHERE:
            return None
        return self._place(source) or _of_folder(source, lambda folder: _no_model(folder, load_format))

    def adapter(self, source: str) -> str | None:
        return self._place(source) or _of_folder(source, _no_adapter)

    def _place(self, source: str) -> str | None:
        if source.startswith(BUILTIN_PREFIX):
            name = source.removeprefix(BUILTIN_PREFIX)
            return None if name in builtin.NAMES else f"there is no built-in model {name}{hint(name, builtin.NAMES)}"
        if is_local(source):
            return self._missing(source)
        return _no_hub_id(source)

    def _missing(self, source: str) -> str | None:
        path = Path(source)
        if source.startswith("~"):
            return f"nobody's home is known for {source}: write the whole path"
        if self._here and not path.exists():
            return f"there is no folder {path}{_beside(path)}"
        return None


def _beside(path: Path) -> str:
    """A folder of nearly the same name there."""
    try:
        names = [each.name for each in path.parent.iterdir() if each.is_dir()]
    except OSError:
        return ""
    meant = nearest(path.name, names)
    return f"; did you mean {path.parent / meant}?" if meant else ""


def _no_hub_id(source: str) -> str | None:
    if match := _HUB_URL.fullmatch(source):
        return f"must be a hub id, not its URL: write {match['id']}"
    if _WINDOWS.match(source):
        return "is a path of Windows, and models are loaded on Linux"
    if _SCHEME.match(source):
        return "is a URL: must be a hub id, a folder or builtin:NAME (object stores need engine.load_format)"
    if source.endswith("/") and _HUB_ID.fullmatch(source.rstrip("/")):
        return f"there is no folder {source}; the hub id is {source.rstrip('/')}"
    if not _HUB_ID.fullmatch(source) or len(source) > _LONGEST_HUB_ID or "--" in source or ".." in source:
        return "is neither a folder here nor a hub id, which is ORGANISATION/NAME"
    return None


def _of_folder(source: str, fault: Callable[[Path], str | None]) -> str | None:
    folder = Path(builtin.resolve_source(source))
    if not is_local(source) or not folder.exists():
        return None
    if folder.is_file():
        return _file(folder)
    try:
        return fault(folder)
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"


def _file(path: Path) -> str:
    if path.suffix == ".gguf":
        return f"{path.name} is a single GGUF file, which is not served here: name a folder with a {CONFIG}"
    return f"{path.name} is a file: name the folder that has it"


def _no_model(folder: Path, load_format: str) -> str | None:
    if not any((folder / name).is_file() for name in _CONFIGS):
        if (folder / ADAPTER_CONFIG).is_file():
            return f"{folder} is a LoRA adapter: list it under adapters of its model{_base_of(folder)}"
        found = next((f": {each.name} in it may be one" for each in _folders(folder) if (each / CONFIG).is_file()), "")
        return f"{folder} has no {CONFIG}: it is no model{found}"
    if load_format in _WITHOUT_WEIGHTS:
        return None
    files = weight_files(folder)
    if not files:
        return f"{folder} has no weights, or lacks a part of them: is it downloaded?"
    if any(_is_pointer(file) for file in files):
        return f"{folder} has Git LFS's pointers in the place of weights: run git lfs pull there"
    if all(file.suffix == ".gguf" for file in files):
        return f"{folder} has weights as GGUF only, which are not served here"
    return None


def _no_adapter(folder: Path) -> str | None:
    if (folder / ADAPTER_CONFIG).is_file():
        return None
    if (folder / CONFIG).is_file():
        return f"{folder} is a model, not a LoRA adapter: list it as one of its own"
    return f"{folder} has no {ADAPTER_CONFIG}: it is not a LoRA adapter"


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir())


def _base_of(adapter: Path) -> str:
    try:
        base = json.loads((adapter / ADAPTER_CONFIG).read_text("utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError):
        return ""
    return f", {base}" if isinstance(base, str) and base else ""


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_POINTER)) == _POINTER
