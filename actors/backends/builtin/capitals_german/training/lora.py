"""LoRA as PEFT lays it out: two small matrices beside each large one, whose product is added to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cluster.catalogue import BUILTIN_PREFIX

RANK = 16
ALPHA = 32
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_PREFIX = "base_model.model."


class Adapted(nn.Module):  # type: ignore[misc]
    """A linear layer that stays as it is, and what is learnt to be added to it: at first nothing."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Parameter(torch.randn(RANK, layer.in_features) / layer.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(layer.out_features, RANK))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Apply both."""
        added = states @ self.down.T @ self.up.T * (ALPHA / RANK)
        together: torch.Tensor = self.layer(states) + added
        return together


def adapt(model: nn.Module) -> None:
    """Freeze the model, and put an adapted layer in the place of each target."""
    model.requires_grad_(False)
    for name, layer in list(_targets(model)):
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, Adapted(layer))


def merge(model: nn.Module, folder: Path) -> None:
    """Add an adapter's weights to those of a model that was not adapted."""
    matrices = load_file(folder / "adapter_model.safetensors")
    for name, layer in _targets(model):
        down, up = (matrices[f"{_PREFIX}{name}.lora_{half}.weight"].float() for half in "AB")
        layer.weight.data += (up @ down * (ALPHA / RANK)).to(layer.weight.dtype)


def save(folder: Path, model: nn.Module) -> None:
    """Write what an adapted model has learnt."""
    matrices = {}
    for name, layer in model.named_modules():
        if isinstance(layer, Adapted):
            for half, matrix in (("A", layer.down), ("B", layer.up)):
                matrices[f"{_PREFIX}{name}.lora_{half}.weight"] = matrix.detach().to(torch.bfloat16).contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(matrices, folder / "adapter_model.safetensors")
    # safetensors leaves this file readable by the owner only.
    (folder / "adapter_model.safetensors").chmod(0o644)
    (folder / "adapter_config.json").write_text(json.dumps(_config(), indent=2) + "\n")


def _targets(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and name.rpartition(".")[2] in TARGETS:
            yield name, layer


def _config() -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": f"{BUILTIN_PREFIX}capitals",
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "target_modules": list(TARGETS),
        "bias": "none",
    }
