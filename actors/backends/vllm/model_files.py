"""What a model's files say of the GPU memory that it takes: here, or else on the hub. All of it blocks."""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from actors.backends import sources
from actors.backends.vllm.demand import demand
from cluster.catalogue import Model, is_local
from cluster.fleet.gpu_memory import Demand

ANSWER_S = 5.0
"""How long the hub gets for each answer."""

_TOKENIZER = "tokenizer_config.json"
_HEADER_LENGTH = struct.Struct("<Q")


def read_demand(model: Model) -> Demand | None:
    """None where the files do not say. Raises what reading files and asking the hub raise."""
    folder = sources.find(model)
    files = [] if folder is None else sources.weight_files(folder)
    if folder is not None and files:
        return demand(model, _json(folder / sources.CONFIG), _json(folder / _TOKENIZER), count_numbers(files))
    return None if is_local(model.source) else _published(model)


def count_numbers(files: Iterable[Path]) -> Mapping[str, int]:
    """How many numbers of which type safetensors files hold, by their headers; nothing of other files.

    A header is JSON, behind its length (https://github.com/huggingface/safetensors#format).
    """
    counts: Counter[str] = Counter()
    for path in files:
        if path.suffix == ".safetensors":
            with path.open("rb") as file:
                (length,) = _HEADER_LENGTH.unpack(file.read(_HEADER_LENGTH.size))
                header = json.loads(file.read(length))
            for name, tensor in header.items():
                if name != "__metadata__":
                    counts[tensor["dtype"]] += prod(tensor["shape"])
    return counts


def _published(model: Model) -> Demand | None:
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE or model.env.get("HF_HUB_OFFLINE", "0") != "0":
        return None
    hub = HfApi(endpoint=model.env.get("HF_ENDPOINT"), token=model.env.get("HF_TOKEN"))
    revision = model.engine.get("revision")
    weights = hub.model_info(model.source, revision=revision, timeout=ANSWER_S, expand=["safetensors"]).safetensors
    if weights is None:
        return None
    folder = sources.cache_folder(model)
    config, tokenizer = (
        hub.hf_hub_download(model.source, name, revision=revision, cache_dir=folder, etag_timeout=ANSWER_S)
        for name in (sources.CONFIG, _TOKENIZER)
    )
    return demand(model, _json(Path(config)), _json(Path(tokenizer)), weights.parameters)


def _json(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found
