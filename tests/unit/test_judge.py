"""What can be told of models before anything is loaded: where they are, what they are, and their options."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from actors.backends.judge import Backends
from cluster.settings.layers import load

BACKENDS = Backends(here=True)


def folder(at: Path, **files: str) -> str:
    at.mkdir(parents=True)
    for name, content in files.items():
        (at / name.replace("__", ".")).write_text(content)
    return str(at)


def test_a_model_is_a_folder_with_its_configuration_and_weights(tmp_path: Path) -> None:
    whole = folder(tmp_path / "whole", config__json="{}", model__safetensors="x" * 100)
    mistrals = folder(tmp_path / "mistral", params__json="{}", consolidated__safetensors="x" * 100)
    assert BACKENDS.model(whole, {}) is BACKENDS.model(mistrals, {}) is None
    bare = folder(tmp_path / "bare", config__json="{}")
    assert "has no weights" in str(BACKENDS.model(bare, {}))
    assert BACKENDS.model(bare, {"load_format": "dummy"}) is None


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "has no config.json: it is no model"),
        ({"adapter_config__json": '{"base_model_name_or_path": "org/base"}'},
         "is a LoRA adapter: list it under adapters of its model, org/base"),
        ({"adapter_config__json": "["}, "is a LoRA adapter: list it under adapters of its model"),
        ({"config__json": "{}", "model__safetensors": "version https://git-lfs.github.com/spec/v1\noid x"},
         "has Git LFS's pointers in the place of weights: run git lfs pull there"),
        ({"config__json": "{}", "model-00001-of-00002__safetensors": "x"},
         "has no weights, or lacks a part of them: is it downloaded?"),
        ({"config__json": "{}", "model__gguf": "x"}, "has weights as GGUF only, which are not served here"),
    ],
)  # fmt: skip
def test_what_is_no_model(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    path = folder(tmp_path / "m", **files)
    assert BACKENDS.model(path, {}) == f"{path} {reason}"


def test_files_are_no_folders(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").touch()
    (tmp_path / "x.safetensors").touch()
    assert "single GGUF file" in str(BACKENDS.model(str(tmp_path / "x.gguf"), {}))
    assert "name the folder that has it" in str(BACKENDS.model(str(tmp_path / "x.safetensors"), {}))


def test_an_adapter_and_a_model_are_not_taken_for_each_other(tmp_path: Path) -> None:
    assert BACKENDS.adapter(folder(tmp_path / "a", adapter_config__json="{}")) is None
    assert "is a model, not a LoRA adapter" in str(BACKENDS.adapter(folder(tmp_path / "m", config__json="{}")))
    assert "it is not a LoRA adapter" in str(BACKENDS.adapter(folder(tmp_path / "n")))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("Qwen/Qwen3-8B", None),
        ("gpt2", None),
        ("builtin:capitals", None),
        ("builtin:capital", "there is no built-in model capital; did you mean capitals?"),
        ("https://huggingface.co/Qwen/Qwen3-8B", "must be a hub id, not its URL: write Qwen/Qwen3-8B"),
        ("hf.co/Qwen/Qwen3-8B/tree/main", "must be a hub id, not its URL: write Qwen/Qwen3-8B"),
        (r"C:\models\x", "is a path of Windows, and models are loaded on Linux"),
        (r"models\x", "is a path of Windows, and models are loaded on Linux"),
        ("C:/models/x", "is a path of Windows, and models are loaded on Linux"),
        ("s3://bucket/x",
         "is a URL: must be a hub id, a folder or builtin:NAME (object stores need engine.load_format)"),
        ("Qwen/Qwen3-8B/", "there is no folder Qwen/Qwen3-8B/; the hub id is Qwen/Qwen3-8B"),
        ("qwen2.5:14b", "is neither a folder here nor a hub id, which is ORGANISATION/NAME"),
        ("a/b/c", "is neither a folder here nor a hub id, which is ORGANISATION/NAME"),
        ("org/na me", "is neither a folder here nor a hub id, which is ORGANISATION/NAME"),
    ],
)  # fmt: skip
def test_a_source_is_a_hub_id_a_folder_or_built_in(source: str, reason: str | None) -> None:
    assert BACKENDS.model(source, {}) == reason


def test_object_stores_are_vllms_where_it_is_told_to_load_from_them() -> None:
    assert BACKENDS.model("s3://bucket/x", {"load_format": "runai_streamer"}) is None


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "qwen3-8b").mkdir()
    path = tmp_path / "qwen3-8B-it"
    assert BACKENDS.model(str(path), {}) == f"there is no folder {path}; did you mean {tmp_path / 'qwen3-8b'}?"
    assert BACKENDS.model("~nobody/x", {}) == "nobody's home is known for ~nobody/x: write the whole path"
    for elsewhere in (str(path), "~/x", "./x"):
        assert Backends(here=False).model(elsewhere, {}) is None


def test_paths_are_relative_to_the_file_and_to_ones_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder(tmp_path / "settings" / "org" / "beside")
    file = tmp_path / "settings" / "infernet.yaml"
    file.write_text(
        "database: file:db.url\n"
        "models:\n"
        "  - {id: a, source: ./a, adapters: [{id: l, source: ../l}]}\n"
        "  - {id: b, source: ~/b}\n"
        "  - {id: c, source: org/beside}\n"
        "  - {id: d, source: org/elsewhere}\n"
        "  - {id: e, source: builtin:capitals}\n"
    )
    loaded = load(file, {})
    assert [model.source for model in loaded.models] == [
        str(tmp_path / "settings" / "a"),
        str(tmp_path / "home" / "b"),
        str(tmp_path / "settings" / "org" / "beside"),
        "org/elsewhere",
        "builtin:capitals",
    ]
    assert Path(loaded.models[0].adapters[0].source).resolve() == tmp_path / "l"
    assert loaded.database == f"file:{tmp_path / 'settings' / 'db.url'}"


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("gpu_memory_utilization", 90, "more than 0 and at most 1, not 90: 90 % is 0.9"),
        ("gpu_memory_utilization", 0, "more than 0 and at most 1, not 0"),
        ("gpu_memory_utilization", "0.9", 'must be a number, not "0.9"'),
        ("max_num_seqs", -1, "must be at least 1, not -1"),
        ("max_num_seqs", "64", 'must be a whole number, not "64"'),
        ("max_model_len", 0, "must be at least 1, or -1 or auto"),
        ("max_model_len", "8k", 'must be a whole number, not "8k"'),
        ("tensor_parallel_size", 1.5, "must be a whole number, not 1.5"),
        ("enforce_eager", "yes", 'must be true or false, not "yes"'),
        ("enforce_eager", 1, "must be true or false, not 1"),
        ("dtype", "bfloat", 'vLLM has no "bfloat" here; did you mean'),
        ("cpu_offload_gb", 16_000_000_000, "not 1.6e+10: as bytes that would be 14.9 GiB"),
        ("kv_cache_memory_bytes", 16, "must be in bytes, and 16 are next to nothing: 16 GiB would be 17179869184"),
    ],
)  # fmt: skip
def test_values_of_options_that_vllm_cannot_take(option: str, value: Any, reason: str) -> None:
    (fault,) = BACKENDS.options("vllm", {option: value})
    assert fault.option == option
    assert reason in fault.reason


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("gpu_memory_utilization", 1),
        ("max_model_len", "auto"),
        ("max_model_len", -1),
        ("max_num_seqs", None),
        ("dtype", "bfloat16"),
        ("kv_cache_dtype", "fp8"),
        ("quantization", "whatever-a-plugin-has"),
        ("load_format", "dummy"),
        ("served_model_name", ["a", "b"]),
        ("speculative_config", {"method": "ngram"}),
        ("seed", 0),
        ("enable_prefix_caching", False),
    ],
)
def test_values_of_options_that_vllm_takes(option: str, value: Any) -> None:
    assert list(BACKENDS.options("vllm", {option: value})) == []
