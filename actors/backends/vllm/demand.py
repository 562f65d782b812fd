"""What vLLM takes of the GPUs' memory for a model at the least, from what lies beside the model's weights. Pure.

The configuration is read as vLLM reads it (vllm/transformers_utils/model_arch_config_convertor.py). Whatever would make
it less than what is counted here makes it unknown.
"""

from collections.abc import Mapping
from typing import Any

from cluster.catalogue import Model
from cluster.fleet.gpu_memory import Demand

DEFAULT_SHARE = 0.92
"""vLLM's `gpu_memory_utilization`, where the settings do not say."""

OTHER_WEIGHTS = frozenset(
    {
        "additional_config",
        "convert",
        "cpu_offload_gb",
        "cpu_offload_params",
        "data_parallel_size",
        "hf_config_path",
        "hf_overrides",
        "ignore_patterns",
        "language_model_only",
        "load_format",
        "mm_encoder_only",
        "model_class_overrides",
        "model_loader_extra_config",
        "model_weights",
        "offload_backend",
        "offload_group_size",
        "offload_params",
        "pipeline_parallel_size",
        "quantization",
        "quantization_config",
        "tensor_parallel_size",
    }
)
"""vLLM's options with which less may be loaded than there is, or into other memory."""

OTHER_CACHE = frozenset(
    {
        "decode_context_parallel_size",
        "kv_cache_dtype_skip_layers",
        "kv_sharing_fast_prefill",
        "kv_transfer_config",
        "num_gpu_blocks_override",
        "prefill_context_parallel_size",
    }
)
"""vLLM's options with which a request may take less of the cache."""

WITH_FULL_ATTENTION = frozenset(
    {"granite", "llama", "mistral", "mixtral", "olmo2", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"}
)
"""Types of models all of whose layers keep keys and values of all tokens, unless their configuration says otherwise."""

_STORED_BYTES: Mapping[str, float] = {
    **dict.fromkeys(("F64", "F32", "F16", "BF16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8"), 1),
    "I32": 4,
    "I64": 8,
}
"""Of each number in a file of weights, what is taken at the least: larger fractions may be loaded as 16 bits."""

_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}


def demand(
    model: Model, config: Mapping[str, Any], tokenizer: Mapping[str, Any], stored: Mapping[str, int]
) -> Demand | None:
    """`config` and `tokenizer` are what the files of these names say; `stored`, how many numbers of a type there are.

    None where it is not known.
    """
    if not OTHER_WEIGHTS.isdisjoint(model.engine) or _has_layers_left_out(config):
        return None
    weights_bytes = sum(count * _STORED_BYTES.get(kind, 0) for kind, count in stored.items())
    context = _context(model, config, tokenizer)
    per_token = _bytes_per_token(model, config)
    share = (
        1.0 if "kv_cache_memory_bytes" in model.engine else model.engine.get("gpu_memory_utilization", DEFAULT_SHARE)
    )
    if not weights_bytes or not isinstance(share, float | int):
        return None
    request_bytes = context * per_token
    return Demand(int(weights_bytes - _tied_bytes(config)), request_bytes, context if request_bytes else 0, share)


def _has_layers_left_out(config: Mapping[str, Any]) -> bool:
    """Layers that guess several tokens are stored with the weights, and loaded only where that is asked for."""
    return any(("nextn" in key or "mtp" in key) and value for key, value in config.items())


def _tied_bytes(config: Mapping[str, Any]) -> int:
    """What may be stored twice and is loaded once: the embeddings, where the output has the same."""
    is_tied = config.get("tie_word_embeddings", False)
    return 2 * config.get("vocab_size", 0) * config.get("hidden_size", 0) if is_tied else 0


def _context(model: Model, config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    """How many tokens one request may have; 0 where that is not known, or is what there is room for."""
    if (asked := model.engine.get("max_model_len")) is not None:
        return asked if isinstance(asked, int) and asked > 0 else 0
    positions = config.get("max_position_embeddings")
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    is_plain = rope.get("rope_type", rope.get("type", "default")) in ("default", "llama3")
    if not isinstance(positions, int) or not is_plain:
        return 0
    return int(min(positions, tokenizer.get("model_max_length") or positions))


def _bytes_per_token(model: Model, config: Mapping[str, Any]) -> int:
    """Of keys and values, on all GPUs together; 0 where that is not known."""
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    if not _has_full_attention(model, config) or not layers or not heads:
        return 0
    head_size = config.get("head_dim") or config.get("hidden_size", 0) // heads
    # Where there are more GPUs than heads, several have the same.
    per_gpu = max(1, (config.get("num_key_value_heads") or heads) // model.gpus)
    return int(2 * layers * per_gpu * model.gpus * head_size * _bytes_of_a_number(model, config))


def _has_full_attention(model: Model, config: Mapping[str, Any]) -> bool:
    slides = config.get("sliding_window") is not None and config.get("use_sliding_window", True)
    is_uniform = set(config.get("layer_types") or ["full_attention"]) == {"full_attention"}
    is_known = config.get("model_type") in WITH_FULL_ATTENTION and OTHER_CACHE.isdisjoint(model.engine)
    return is_known and is_uniform and not slides and not config.get("kv_lora_rank")


def _bytes_of_a_number(model: Model, config: Mapping[str, Any]) -> int:
    """In the cache; 0 where that is not known."""
    kept = str(model.engine.get("kv_cache_dtype", "auto"))
    if kept.startswith("fp8"):
        return 1
    if kept != "auto":
        return _BYTES.get(kept, 0)
    if any(str(key).startswith("kv_cache") and value for key, value in _quantization(config).items()):
        return 0
    computed = str(model.engine.get("dtype", "auto"))
    if computed != "auto":
        return _BYTES.get(computed, 0)
    # vLLM computes with 16 bits what is stored with 32.
    return min(2, _BYTES.get(str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch."), 0))


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("quantization_config") or {}
