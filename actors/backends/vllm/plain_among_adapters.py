"""How vLLM on a CPU leaves requests without an adapter alone, in a batch with others that have one.

There vLLM looks up the adapter of every token by an index, which is -1 where there is none: PyTorch takes that for the
last one. On GPUs its own kernels pass over such tokens.
"""

import importlib
from functools import wraps
from typing import Any

_OPS = "vllm.lora.ops.torch_ops.lora_ops"
_USERS = (_OPS, "vllm.lora.ops.torch_ops", "vllm.lora.punica_wrapper.punica_cpu")
_EXPANSIONS = ("bgmv_expand", "bgmv_expand_slice")
"""Whatever an adapter adds, it adds by one of these."""


def install() -> None:
    """Have this process of vLLM add nothing to tokens without an adapter."""
    for name in _EXPANSIONS:
        expand = getattr(importlib.import_module(_OPS), name)
        if not hasattr(expand, "__wrapped__"):
            own = _of_adapters(expand)
            for user in _USERS:
                setattr(importlib.import_module(user), name, own)


def _of_adapters(expand: Any) -> Any:
    @wraps(expand)
    def expand_own(inputs: Any, weights: Any, output: Any, indices: Any, *others: Any, **named: Any) -> None:
        has_adapter = (indices >= 0).unsqueeze(-1)
        expand(inputs.where(has_adapter, inputs.new_zeros(())), weights, output, indices, *others, **named)

    return expand_own
