"""What is counted of models' keys and values, by vLLM itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from actors.backends.vllm.demand import DEFAULT_SHARE, OTHER_CACHE, OTHER_WEIGHTS, demand
from cluster.catalogue import Model
from tests.support.model_configs import LLAMA_8B, LLAMA_70B, QWEN3_30B, QWEN_05B

TOKENS = 4096


@pytest.mark.parametrize("config", [LLAMA_8B, LLAMA_70B, QWEN_05B, QWEN3_30B], ids=lambda config: config["model_type"])
@pytest.mark.parametrize("max_model_len", [None, TOKENS])
@pytest.mark.parametrize("gpus", [1, 2, 16])
def test_vllm_counts_the_same(config: dict[str, Any], max_model_len: int | None, gpus: int, tmp_path: Path) -> None:
    from vllm.config import ModelConfig, ParallelConfig

    (tmp_path / "config.json").write_text(json.dumps(config))
    theirs = ModelConfig(str(tmp_path), skip_tokenizer_init=True, max_model_len=max_model_len)
    # Not made as vLLM makes it, which wants so many GPUs to be there.
    parallel = ParallelConfig()
    parallel.tensor_parallel_size = gpus
    numbers = 2 * theirs.get_num_kv_heads(parallel) * gpus * theirs.get_head_size() * config["num_hidden_layers"]
    ours = demand(
        Model(id="m", source="m", gpus=gpus, engine={"max_model_len": max_model_len}), config, {}, {"BF16": 9}
    )
    assert ours is not None
    assert theirs.max_model_len == ours.context_tokens
    assert ours.request_bytes == numbers * theirs.dtype.itemsize * theirs.max_model_len


def test_the_options_and_their_defaults_are_vllms() -> None:
    from vllm.config import CacheConfig
    from vllm.engine.arg_utils import EngineArgs

    assert set(EngineArgs.__dataclass_fields__) >= OTHER_WEIGHTS | OTHER_CACHE
    assert CacheConfig().gpu_memory_utilization == DEFAULT_SHARE
