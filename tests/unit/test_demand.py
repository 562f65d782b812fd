"""What models take of GPUs' memory, by their files: of well-known shapes, and where it cannot be told."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from actors import backends
from actors.backends.vllm.demand import demand
from actors.backends.vllm.model_files import count_numbers, read_demand
from cluster.catalogue import CAPITALS, Model
from cluster.fleet.gpu_memory import Demand
from tests.support.fake_hub import fake_hub
from tests.support.hub_cache import snapshot, write_header
from tests.support.model_configs import DEEPSEEK_V3, LLAMA_8B, LLAMA_70B, MISTRAL_V01, QWEN3_30B, QWEN_05B

GIB, KIB = 2**30, 2**10
STORED = {"BF16": 70_553_706_496}


def told(config: dict[str, Any], gpus: int = 1, stored: Mapping[str, int] = STORED, **engine: Any) -> Demand | None:
    return demand(Model(id="m", source="org/m", gpus=gpus, engine=engine), config, {}, stored)


def per_token(config: dict[str, Any], gpus: int = 1, **engine: Any) -> float:
    found = told(config, gpus, max_model_len=1024, **engine)
    assert found is not None
    return found.request_bytes / 1024


def test_a_model_of_70_billion() -> None:
    found = told(LLAMA_70B, gpus=2, max_model_len=32_768, gpu_memory_utilization=0.9)
    assert found == Demand(2 * STORED["BF16"], 10 * GIB, 32_768, 0.9)
    assert round(found.weights_bytes / GIB) == 131


def test_keys_and_values_of_known_shapes() -> None:
    assert per_token(LLAMA_8B) == 128 * KIB
    assert per_token(LLAMA_70B, gpus=8) == 320 * KIB
    assert per_token(LLAMA_70B, gpus=16) == 640 * KIB  # its 8 heads are there twice
    assert per_token(QWEN_05B) == 12 * KIB
    assert per_token(QWEN3_30B) == 96 * KIB
    assert per_token(LLAMA_8B | {"torch_dtype": None, "dtype": "float32"}) == 128 * KIB
    assert per_token(LLAMA_8B, dtype="float32") == 256 * KIB
    assert per_token(LLAMA_8B, kv_cache_dtype="fp8") == 64 * KIB


@pytest.mark.parametrize(
    ("config", "engine"),
    [
        (MISTRAL_V01, {}),
        (LLAMA_8B | {"layer_types": ["full_attention", "sliding_attention"]}, {}),
        (LLAMA_8B | {"model_type": "not_known"}, {}),
        (LLAMA_8B | {"quantization_config": {"kv_cache_scheme": {"num_bits": 8}}}, {}),
        (LLAMA_8B | {"torch_dtype": None}, {}),
        (LLAMA_8B, {"kv_cache_dtype": "turboquant"}),
        (LLAMA_8B, {"num_gpu_blocks_override": 10}),
        (LLAMA_8B, {"max_model_len": -1}),
        (LLAMA_8B, {"max_model_len": "auto"}),
        (LLAMA_8B | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, {"max_model_len": None}),
    ],
)
def test_where_a_request_cannot_be_told_the_weights_count_alone(config: dict[str, Any], engine: dict[str, Any]) -> None:
    assert told(config, **({"max_model_len": 1024} | engine)) == Demand(2 * STORED["BF16"], 0, 0, 0.92)


@pytest.mark.parametrize(
    ("config", "engine"),
    [
        (DEEPSEEK_V3, {}),  # what guesses several tokens is stored, and not loaded
        (LLAMA_8B, {"quantization": "fp8"}),
        (LLAMA_8B, {"load_format": "dummy"}),
        (LLAMA_8B, {"cpu_offload_gb": 10}),
        (LLAMA_8B, {"hf_overrides": {"num_hidden_layers": 2}}),
    ],
)
def test_where_less_may_be_loaded_nothing_is_told(config: dict[str, Any], engine: dict[str, Any]) -> None:
    assert told(config, **engine) is None


def test_what_is_stored_with_32_bits_is_counted_with_16() -> None:
    found = told(LLAMA_8B, stored={"F32": 1000, "F8_E4M3": 1000, "I32": 10, "SOMETHING": 7})
    assert found is not None and found.weights_bytes == 2000 + 1000 + 40


def test_tied_embeddings_count_once() -> None:
    found = told(QWEN_05B, stored={"BF16": 500_000_000})
    assert found is not None and found.weights_bytes == 1_000_000_000 - 2 * 151_936 * 896


def test_the_context_is_the_smaller_one_of_model_and_tokenizer() -> None:
    model = Model(id="m", source="org/m")
    for tokenizer, context in ({}, 131_072), ({"model_max_length": 4096}, 4096), ({"model_max_length": 1e30}, 131_072):
        found = demand(model, LLAMA_8B, tokenizer, STORED)
        assert found is not None and found.context_tokens == context


def test_numbers_are_counted_by_the_headers_of_files(tmp_path: Path) -> None:
    write_header(tmp_path / "one.safetensors", "BF16", [100, 10], [7])
    write_header(tmp_path / "two.safetensors", "F8_E4M3", [3, 3])
    (tmp_path / "model.bin").write_bytes(b"something else")
    assert count_numbers(sorted(tmp_path.iterdir())) == {"BF16": 1007, "F8_E4M3": 9}


def test_the_builtin_model_as_the_library_reads_it() -> None:
    from safetensors import safe_open

    from actors.backends.builtin import resolve_source

    with safe_open(Path(resolve_source(CAPITALS.source)) / "model.safetensors", "numpy") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - it is no dict
    numbers = sum(_product(shape) for shape in shapes)
    found = backends.demand(Model(id="m", source=CAPITALS.source, gpus=1))
    assert found is not None and numbers > 0
    assert 0 < found.weights_bytes <= 2 * numbers
    assert found.request_bytes > 0
    assert backends.demand(CAPITALS) is None  # which is on the CPU


def _product(shape: list[int]) -> int:
    return shape[0] * _product(shape[1:]) if shape else 1


def test_what_is_in_the_hubs_cache_is_read_there(tmp_path: Path) -> None:
    folder = snapshot(tmp_path, "config.json", "model.safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA_8B))
    write_header(folder / "model.safetensors", "BF16", [1000])
    model = Model(id="m", source="org/name", engine={"download_dir": str(tmp_path), "max_model_len": 8})
    assert read_demand(model) == Demand(2000, 8 * 128 * KIB, 8, 0.92)


def test_the_hub_is_asked_for_what_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with fake_hub("org/name", {"BF16": 1000}, {"config.json": LLAMA_8B, "tokenizer_config.json": {}}) as address:
        model = Model(id="m", source="org/name", env={"HF_ENDPOINT": address}, engine={"max_model_len": 8})
        assert read_demand(model) == Demand(2000, 8 * 128 * KIB, 8, 0.92)
        missing = Model(id="m", source="org/missing", env={"HF_ENDPOINT": address})
        with pytest.raises(HfHubHTTPError):
            read_demand(missing)


def test_a_folder_that_is_not_there_and_a_hub_that_is_not_to_be_asked_tell_nothing(tmp_path: Path) -> None:
    assert read_demand(Model(id="m", source=str(tmp_path / "nothing"))) is None
    assert read_demand(Model(id="m", source="org/name", env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})) is None
    assert backends.demand(Model(id="m", backend="simulated", gpus=1)) is None
