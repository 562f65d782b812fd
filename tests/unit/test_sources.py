"""Which models' weights are on a machine: in folders of their own, and in the hub's cache, as its library has it."""

from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir

from actors.backends import sources
from cluster.catalogue import CAPITALS, Model
from tests.support.hub_cache import snapshot


def in_cache(cache: Path) -> Model:
    return Model(id="m", source="org/name", engine={"download_dir": str(cache)})


def test_what_is_written_here_is_a_cache_to_the_hubs_own_library(tmp_path: Path) -> None:
    snapshot(tmp_path, "config.json", "model.safetensors")
    (repo,) = scan_cache_dir(tmp_path).repos
    assert (repo.repo_id, repo.size_on_disk, [*repo.refs]) == ("org/name", 10, ["main"])


def test_weights_in_the_cache_are_here(tmp_path: Path) -> None:
    assert sources.models_here([in_cache(tmp_path)]) == []
    folder = snapshot(tmp_path, "config.json", "tokenizer.json")
    # As an ingress leaves it, which needs the tokenizer alone.
    assert sources.models_here([in_cache(tmp_path)]) == []
    assert sources.find(in_cache(tmp_path)) == folder
    snapshot(tmp_path, "model.safetensors")
    assert sources.models_here([in_cache(tmp_path)]) == ["m"]


def test_weights_of_which_a_part_is_missing_are_not_here(tmp_path: Path) -> None:
    parts = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    folder = snapshot(tmp_path, "config.json", *parts[:2])
    assert sources.weight_files(folder) == []
    snapshot(tmp_path, parts[2])
    assert [file.name for file in sources.weight_files(folder)] == parts


def test_what_a_model_has_twice_counts_once(tmp_path: Path) -> None:
    for name in ("model.safetensors", "consolidated.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(b"12345")
    assert [file.name for file in sources.weight_files(tmp_path)] == ["model.safetensors"]
    (tmp_path / "model.safetensors").unlink()
    assert [file.name for file in sources.weight_files(tmp_path)] == ["consolidated.safetensors"]


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME"])
def test_the_cache_is_looked_for_where_the_models_engines_have_it(tmp_path: Path, variable: str) -> None:
    snapshot(tmp_path if variable == "HF_HUB_CACHE" else tmp_path / "hub", "config.json", "model.safetensors")
    model = Model(id="m", source="org/name", env={variable: str(tmp_path)})
    assert sources.models_here([model]) == ["m"]


def test_a_revision_counts_by_itself(tmp_path: Path) -> None:
    snapshot(tmp_path, "config.json", "model.safetensors", revision="v2")
    other = Model(id="m", source="org/name", engine={"download_dir": str(tmp_path), "revision": "v2"})
    assert sources.models_here([in_cache(tmp_path), other]) == ["m"]


def test_folders_and_what_is_built_in_are_here_where_they_exist(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    folder = Model(id="folder", source=str(tmp_path))
    missing = Model(id="missing", source=str(tmp_path / "missing"))
    nonsense = Model(id="nonsense", source="no model/of the hub/at all")
    simulated = Model(id="sim", backend="simulated")
    assert sources.models_here([CAPITALS, folder, missing, nonsense, simulated]) == ["capitals", "folder"]
