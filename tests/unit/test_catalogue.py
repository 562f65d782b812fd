"""The catalogue's models and the traits of their backends."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from cluster.catalogue import CAPITALS, TRAITS, BackendName, Catalogue, Model, is_local
from cluster.errors import BadRequest, ModelNotFound

ROOT = Path(__file__).parents[2]
SOURCES = [path for layer in ("cluster", "actors", "api") for path in (ROOT / layer).rglob("*.py")]


def places_of(begins: str, whole: bool) -> Iterator[str]:
    """The files that have a string, other than a docstring, which is this or begins with it."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Constant(value=str(text)) if text == begins or (not whole and text.startswith(begins)):
                    yield str(path.relative_to(ROOT))


def test_backends_are_told_apart_where_they_are_made_and_nowhere_else() -> None:
    """Everybody else asks for their traits."""
    assert set(places_of("simulated", whole=True)) == {"cluster/catalogue.py", "actors/backends/__init__.py"}


def test_what_a_built_in_source_looks_like_is_said_once() -> None:
    assert list(places_of("builtin:", whole=False)) == ["cluster/catalogue.py"]


def test_a_model_says_nothing_of_hardware_that_its_backend_does_not() -> None:
    model = Model("m")
    assert (model.gpus, model.cpus) == (model.traits.gpus, model.traits.cpus) == (1, 1.0)


def test_every_backend_has_traits() -> None:
    assert set(TRAITS) == set(get_args(BackendName))


@pytest.mark.parametrize("source", ["builtin:capitals", "/models/m", "./m", "../m", "~/m"])
def test_folders_and_built_in_models_are_local(source: str) -> None:
    assert is_local(source)


@pytest.mark.parametrize("source", ["", "m", "org/m", "org/m.v1"])
def test_hub_ids_are_not_local(source: str) -> None:
    assert not is_local(source)


def test_models_are_found_by_id_and_alias() -> None:
    catalogue = Catalogue((CAPITALS, Model("m", aliases=("n",))))
    assert catalogue.find("n") is catalogue.find("m") is catalogue.models[1]
    assert catalogue.find("x") is None


def test_a_model_is_found_by_its_id_and_its_aliases() -> None:
    model = Model("m", aliases=("a", "b"))
    catalogue = Catalogue((model, CAPITALS))
    assert [catalogue.model(name) for name in ("m", "a", "b")] == [model] * 3
    assert catalogue.find("c") is None
    with pytest.raises(ModelNotFound) as refused:
        catalogue.model("c")
    assert refused.value.message == "Model c is not registered on the network"


def test_without_a_name_it_is_the_only_model() -> None:
    assert Catalogue((CAPITALS,)).choice(None).model == CAPITALS
    with pytest.raises(BadRequest, match="model: is required where there are several"):
        Catalogue((CAPITALS, Model("m"))).choice(None)


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        (Model("m"), 64),
        (Model("m", gpus=0), 128),
        (Model("m", engine={"block_size": 32}), 64),
        (Model("m", engine={"block_size": 48}), 96),
        (Model("m", engine={"block_size": 64}), 64),
        (Model("m", engine={"block_size": 400}), 400),
        (Model("m", backend="simulated", gpus=0), 64),
    ],
)
def test_hashes_are_of_whole_blocks_and_of_no_fewer_tokens_than_are_worth_it(model: Model, tokens: int) -> None:
    assert model.prefix_tokens == tokens
