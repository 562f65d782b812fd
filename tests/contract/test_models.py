"""GET /models."""

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import Api, answered, refused
from tests.contract.given import question


def test_exactly_those_that_are_ready(api: Api, fast: str, broken: str) -> None:
    models = answered(api.get("/models"))["models"]
    for model in models:
        assert set(model) == {"id", "nodes", "avg_tokens_per_second"}
        assert isinstance(model["nodes"], int)
        assert model["nodes"] >= 1
        assert isinstance(model["avg_tokens_per_second"], int)
        assert model["avg_tokens_per_second"] >= 0
    everything = answered(api.get("/models", params={"all": "true"}))["models"]
    ids = [model["id"] for model in models]
    assert ids == [model["id"] for model in everything if model["state"] == "ready"]
    assert fast in ids
    assert broken not in ids


def test_the_whole_catalogue(api: Api, fast: str, broken: str) -> None:
    everything = {model["id"]: model for model in answered(api.get("/models", params={"all": "true"}))["models"]}
    for model in everything.values():
        assert {"id", "nodes", "avg_tokens_per_second", "state", "replicas", "price", "wanted", "scaling"} <= set(model)
        assert model["state"] in ("ready", "starting", "idle", "failed")
        assert set(model["price"]) == {"prompt", "completion"}
        assert None not in model.values()
    assert everything[fast]["replicas"] == everything[fast]["wanted"] == 2
    assert everything[fast]["scaling"].startswith("2 replicas, a fixed number")
    assert everything[fast]["context_length"] == 8192
    assert everything[fast]["price"] == {"prompt": 1.0, "completion": 2.0}
    assert everything[broken]["state"] == "failed"
    assert everything[broken]["nodes"] == everything[broken]["replicas"] == 0
    assert answered(api.get("/models", params={"all": "false"})) == answered(api.get("/models"))


def test_a_vllm_model_is_like_any_other(api: Api, catalogue: Catalogue) -> None:
    capitals = catalogue.entry(catalogue.need("capitals"))
    assert capitals["context_length"] > 0
    assert capitals["nodes"] == 1


def test_the_average_is_of_generation(api: Api, slow: str, catalogue: Catalogue) -> None:
    """20 tokens a second, whatever the wait for the first one. One that is told late makes the rest look faster."""
    api.run(question(slow, max_tokens=30))
    assert 12 <= catalogue.entry(slow)["avg_tokens_per_second"] <= 25


@pytest.mark.parametrize("value", ["", "maybe", "2", "\0"])
def test_all_is_a_truth_value(api: Api, value: str) -> None:
    refused(api.get("/models", params={"all": value}), 400, "bad_request", "all")
