"""LoRA adapters of the built-in model, made by chance: what they answer is nonsense, and their own."""

import json
from pathlib import Path
from typing import Any

from actors.backends.builtin import resolve_source

CAPITALS = Path(resolve_source("builtin:capitals"))


def make_adapter(folder: Path, seed: int, rank: int = 4, columns: int | None = None, **config: Any) -> Path:
    """A LoRA of the attention's queries, of as many columns as the model's unless that is said otherwise."""
    import torch
    from safetensors.torch import save_file

    model = json.loads((CAPITALS / "config.json").read_text())
    wide = model["num_attention_heads"] * model["head_dim"]
    drawn = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in range(model["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.randn(rank, columns or model["hidden_size"], generator=drawn)
        weights[f"{name}.lora_B.weight"] = torch.randn(wide, rank, generator=drawn)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "adapter_model.safetensors")
    said = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(said | config))
    return folder
