"""The files of LoRA adapters: where they are, and whether they fit their model. Read before vLLM is imported.

vLLM reads them when it first has a step with such a request, and what it cannot load then ends it. What it can load is
not always right: of a matrix that is too small it takes what there is.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from actors.backends.builtin import resolve_source
from actors.backends.failures import one_line
from actors.backends.sources import cache_folder, weight_files
from cluster.catalogue import Adapter, Model, is_local

CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
_WRAPPED = "base_model.model."
_HEADER_BYTES = 8
_PIECE_BYTES = 1 << 20
_FLOATS = ("F64", "F32", "F16", "BF16")

Shape = tuple[int, ...]


class AdapterRefused(Exception):
    """An adapter cannot be used. The message names it, and says why."""

    def __init__(self, adapter: str, reason: str) -> None:
        super().__init__(f"adapter {adapter}: {reason}")
        self.reason = reason


class AdapterFiles(Struct, frozen=True):
    """Where an adapter is on this machine, and its rank."""

    folder: Path
    rank: int


class AdaptersRead(Struct, frozen=True):
    """The files of a model's adapters, and why there are none of others, both by their numbers."""

    files: Mapping[int, AdapterFiles] = {}
    refused: Mapping[int, str] = {}


def read_all(model: Model, source: str) -> AdaptersRead:
    """The adapters of `model`, which is at `source`. What is not here yet is fetched from the hub.

    Raises AdapterRefused for the first one of the settings that is none, or none of this model. Of those that admins
    have added it is told.
    """
    files: dict[int, AdapterFiles] = {}
    refused: dict[int, str] = {}
    shapes = _shapes(source) if model.adapters else {}
    for adapter in model.adapters:
        try:
            files[adapter.number] = _read(model, adapter, shapes)
        except AdapterRefused as refusal:
            if not adapter.added_ms:
                raise
            refused[adapter.number] = refusal.reason
    return AdaptersRead(files, refused)


def read(model: Model, adapter: Adapter, source: str) -> AdapterFiles:
    """This adapter of `model`, which is at `source`, in this machine's memory by then: vLLM, which generates nothing
    while it loads one, does not wait for a disk. Raises AdapterRefused.
    """
    files = _read(model, adapter, _shapes(source))
    for name in _WEIGHTS:
        _touch(files.folder / name)
    return files


def _touch(file: Path) -> None:
    """Have the kernel keep what is in this file, if there is one."""
    if file.is_file():
        with file.open("rb", buffering=0) as opened:
            while opened.read(_PIECE_BYTES):
                pass


def _shapes(source: str) -> dict[str, Shape]:
    return _shapes_of(Path(source).expanduser()) if is_local(source) else {}


def _read(model: Model, adapter: Adapter, shapes: Mapping[str, Shape]) -> AdapterFiles:
    try:
        folder = _folder(model, adapter)
        files = AdapterFiles(folder, _rank(folder))
        _check_shapes(folder, shapes)
    except (OSError, ValueError) as error:
        raise AdapterRefused(adapter.id, str(error)) from error
    return files


def _folder(model: Model, adapter: Adapter) -> Path:
    source = resolve_source(adapter.source)
    folder = Path(source).expanduser() if is_local(source) else _fetched(source, cache_folder(model))
    if not folder.is_dir():
        raise ValueError(f"there is no folder {source}")
    for needed in ((CONFIG,), _WEIGHTS):
        if not any((folder / name).is_file() for name in needed):
            raise ValueError(f"{source} has no {needed[0]}: it is not a LoRA adapter")
    return folder.resolve()


def _fetched(source: str, cache: Path | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, cache_dir=cache))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(f"{source} cannot be had from the hub: {one_line(error)}") from error


def _rank(folder: Path) -> int:
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"its {CONFIG} cannot be read: {error}") from error
    rank = config.get("r") if isinstance(config, dict) else None
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"its {CONFIG} says no rank r")
    return rank


def _check_shapes(folder: Path, of_model: Mapping[str, Shape]) -> None:
    """What is added to a weight has its shape: `A` as many columns, `B` as many rows."""
    weights = folder / _WEIGHTS[0]
    if not weights.is_file():
        return
    for name, (_, shape) in _header(weights).items():
        base, _, half = name.removeprefix(_WRAPPED).removesuffix(".weight").rpartition(".lora_")
        whole = of_model.get(f"{base}.weight", ())
        side = {"A": 1, "B": 0}.get(half)
        if side is not None and len(whole) == len(shape) == 2 and shape[side] != whole[side]:
            raise ValueError(f"it is of another model: {name} is {_shown(shape)}, and the weight is {_shown(whole)}")


def _shapes_of(folder: Path) -> dict[str, Shape]:
    """The shapes of a model's weights by their names, but for those that are packed."""
    files = [file for file in weight_files(folder) if file.suffix == ".safetensors"] if folder.is_dir() else []
    found = (_header(file).items() for file in files)
    return {name: shape for tensors in found for name, (dtype, shape) in tensors if dtype in _FLOATS}


def _header(file: Path) -> dict[str, tuple[str, Shape]]:
    """The types and shapes of the tensors in a file in the safetensors format. Raises ValueError."""
    try:
        return dict(_tensors(file))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file.name} is not in the safetensors format") from error


def _tensors(file: Path) -> Iterator[tuple[str, tuple[str, Shape]]]:
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(_HEADER_BYTES), "little")
        if length > file.stat().st_size:
            raise ValueError("its header is longer than the file")
        described: dict[str, Any] = json.loads(opened.read(length))
    for name, tensor in described.items():
        if name != "__metadata__":
            yield name, (tensor["dtype"], tuple(tensor["shape"]))


def _shown(shape: Shape) -> str:
    return " x ".join(map(str, shape))
