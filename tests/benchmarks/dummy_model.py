"""A model of a given shape with made-up weights: the load of a real one, where none can be had."""

import json
from pathlib import Path
from typing import Any

from tests.benchmarks import endless_model

SHAPES: dict[str, dict[str, Any]] = {
    # Llama 2 7B, with the grouped key-value heads of its successors.
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 8192,
    },
    "tiny": {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "max_position_embeddings": 2048,
    },
}
ENGINE = {"load_format": "dummy"}
"""What vLLM is to be told: it makes up the weights itself."""


def make(folder: Path, shape: str) -> Path:
    """Write a Llama of this shape to `folder`, without weights, with the tokenizer of the endless model. Returns it."""
    endless_model.make(folder)
    (folder / "model.safetensors").unlink()
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | SHAPES[shape]))
    return folder
