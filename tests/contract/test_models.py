"""GET /models."""

import time

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import NODE_ID, TIME, Api, answered, refused
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


ENGINE = {"engine_id", "node_id", "state", "since", "running"}


def test_one_model(api: Api, fast: str, catalogue: Catalogue) -> None:
    model = answered(api.get(f"/models/{fast}"))
    entry = catalogue.entry(fast)
    assert set(model) == {*entry, "bounds", "engines", "failures"}
    assert {name: model[name] for name in ("id", "state", "price", "context_length")} == {
        name: entry[name] for name in ("id", "state", "price", "context_length")
    }
    settings = {"min": 2, "max": 2, "idle_s": 300}
    assert model["bounds"] == {**settings, "set_by": "settings", "settings": settings}
    assert len(model["engines"]) == model["replicas"] == 2
    for engine in model["engines"]:
        assert ENGINE <= set(engine) <= ENGINE | {"slots", "phase", "retiring", "outdated"}
        assert NODE_ID.fullmatch(engine["node_id"])
        assert (engine["state"], engine["slots"]) == ("ready", 256)
        assert TIME.fullmatch(engine["since"])
    assert answered(api.get("/models/sim:latest"))["id"] == fast


def test_why_a_model_failed(api: Api, broken: str) -> None:
    model = answered(api.get(f"/models/{broken}"))
    assert model["engines"] == []
    assert {failure["message"] for failure in model["failures"]} == {"the weights are torn"}
    for failure in model["failures"]:
        assert set(failure) == {"engine_id", "node_id", "at", "message"}


@pytest.mark.parametrize("name", ["unheard:of", "org/unheard", "%00", "x" * 300])
def test_a_model_that_there_is_not(api: Api, admin: Api, name: str) -> None:
    refused(api.get(f"/models/{name}"), 404, "model_not_found")
    refused(admin.patch(f"/models/{name}", {"replicas": None}), 404, "model_not_found")
    refused(admin.post(f"/models/{name}/restart"), 404, "model_not_found")


def test_how_many_replicas_there_may_be(admin: Api, fast: str) -> None:
    before = answered(admin.get(f"/models/{fast}"))["bounds"]
    try:
        changed = answered(admin.patch(f"/models/{fast}", {"replicas": {"max": 3, "idle_s": 60}}))["bounds"]
        assert changed == before | {"max": 3, "idle_s": 60, "set_by": "admin"}
        assert answered(admin.patch(f"/models/{fast}", {"replicas": {"idle_s": None}}))["bounds"] == changed | {
            "idle_s": 300
        }
    finally:
        assert answered(admin.patch(f"/models/{fast}", {"replicas": None}))["bounds"] == before


@pytest.mark.parametrize(
    ("replicas", "field"),
    [
        *((bad, "replicas") for bad in (1, [], "x")),
        *(({"min": bad}, "replicas.min") for bad in (-1, 1.5, "1", True, 2**63, 3)),
        *(({"max": bad}, "replicas.max") for bad in (0, -1, "1", 1)),
        *(({"idle_s": bad}, "replicas.idle_s") for bad in (0, "1", 2**63)),
        ({"least": 1}, "replicas.least"),
    ],
    ids=str,
)
def test_what_is_no_bound_is_named(admin: Api, fast: str, replicas: object, field: str) -> None:
    before = answered(admin.get(f"/models/{fast}"))["bounds"]
    message = refused(admin.patch(f"/models/{fast}", {"replicas": replicas}), 400, "bad_request", field)
    assert message.startswith(field)
    assert answered(admin.get(f"/models/{fast}"))["bounds"] == before


def test_a_restart_loses_no_job(admin: Api, api: Api, slow: str) -> None:
    before = {engine["engine_id"] for engine in answered(api.get(f"/models/{slow}"))["engines"]}
    job = api.submit(question(slow, max_tokens=100))["id"]
    api.read_some(job)
    told = answered(admin.post(f"/models/{slow}/restart"))
    assert told["id"] == slow
    assert api.read(job).text == api.job(job)["result"]["content"]
    assert api.job(job)["status"] == "completed"

    def engines() -> set[str]:
        return {engine["engine_id"] for engine in answered(api.get(f"/models/{slow}"))["engines"]}

    began_s = time.monotonic()
    while before & engines():
        assert time.monotonic() - began_s < 60
        time.sleep(0.2)
    assert api.run(question(slow, max_tokens=2))["status"] == "completed"


ADAPTER = {"id": "contract:adapter", "source": "org/adapter", "price": {"prompt": 0.5, "completion": 3}}


def test_an_adapter_is_added_used_and_removed(admin: Api, api: Api, fast: str) -> None:
    path, name = f"/models/{fast}/adapters", ADAPTER["id"]
    before = {engine["engine_id"] for engine in answered(api.get(f"/models/{fast}"))["engines"]}
    try:
        for _ in range(2):  # said again, it is answered again
            added = answered(admin.post(path, ADAPTER), 201)["adapters"][-1]
            assert {key: added[key] for key in ("id", "set_by", "source", "price")} == ADAPTER | {"set_by": "admin"}
            assert "state_message" not in added
        job = api.run(question(fast) | {"model": name})
        assert (job["status"], job["model"]) == ("completed", name)
        listed = answered(api.get("/models"))["models"]
        assert name in [each["id"] for model in listed for each in model.get("adapters", [])]
        for other in ({"source": "org/other"}, {"price": None}, {"price": {"prompt": 0.5}}):
            refused(admin.post(path, ADAPTER | other), 409, "conflict", "id")
        running = api.submit(question(fast, max_tokens=60) | {"model": name})["id"]
    finally:
        assert admin.delete(f"{path}/{name}").status_code == 204
    refused(api.post("/jobs", question(fast) | {"model": name}), 404, "model_not_found")
    refused(admin.delete(f"{path}/{name}"), 404, "model_not_found")
    api.read(running)
    assert api.job(running)["status"] == "completed"
    assert {engine["engine_id"] for engine in answered(api.get(f"/models/{fast}"))["engines"]} == before


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        *(({"id": bad}, "id") for bad in (None, "", "a b", "a\tb", "x" * 129, 1, [])),
        *(({"source": bad}, "source") for bad in ("./here", "~/here", "https://example.org/x", "a/b/c", "C:\\x", 1)),
        *(({"price": bad}, "price") for bad in (1, [], {"prompt": -1}, {"completion": "1"}, {"tokens": 1})),
        ({"rank": 8}, "rank"),
    ],
    ids=str,
)
def test_what_is_no_adapter_is_named(admin: Api, fast: str, wrong: dict[str, object], field: str) -> None:
    message = refused(admin.post(f"/models/{fast}/adapters", ADAPTER | wrong), 400, "bad_request")
    assert message.startswith(field)
    assert "adapters" not in answered(admin.get(f"/models/{fast}"))


def test_names_of_the_settings_are_taken(admin: Api, fast: str, slow: str) -> None:
    for name in (fast, slow, "sim:latest"):
        refused(admin.post(f"/models/{fast}/adapters", ADAPTER | {"id": name}), 409, "conflict", "id")
    refused(admin.post("/models/unheard:of/adapters", ADAPTER), 404, "model_not_found")
    refused(admin.delete(f"/models/{fast}/adapters/unheard:of"), 404, "model_not_found")
