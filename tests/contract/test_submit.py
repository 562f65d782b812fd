"""POST /jobs: what is accepted, what is refused, in which order, and what is left of a refusal."""

import json
from typing import Any

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import JOB_ID, TIME, Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question

MISSING = object()
INT64 = 2**63 - 1
USER = {"role": "user", "content": "Hello"}

# Field, value as JSON text or as what JSON is made of.
BAD_FIELDS: list[tuple[str, Any]] = [
    *[("model", bad) for bad in (MISSING, None, 1, True, "", [], {}, "a\0b")],
    *[("messages", bad) for bad in (MISSING, None, [], "Hello", {}, 1, [1], [None], ["Hello"], [[]], [{}], [USER, {}])],
    *[("messages", [{**USER, "role": bad}]) for bad in (None, 1, "", "tool", "User", ["user"])],
    *[("messages", [{**USER, "content": bad}]) for bad in (None, 1, True, [], ["Hello"], {}, "a\0b")],
    ("messages", [{"role": "user"}]),
    ("messages", [{"content": "Hello"}]),
    *[("max_tokens", bad) for bad in (0, -1, 1.0, 1.5, "10", True, [], {}, 2**63, 10**30)],
    *[("temperature", bad) for bad in (-0.1, 2.1, -1, 3, "0.7", True, [], {}, 10**30)],
    *[("top_p", bad) for bad in (0, 0.0, -0.1, 1.1, 2, "1", True, [], {})],
    *[("stream", bad) for bad in ("true", 1, 0, [], {})],
    *[("node_id", bad) for bad in (1, True, "", [], {}, "a\0b")],
    *[("stop", bad) for bad in (1, True, {}, "", [""], [1], [None], ["a", "b", "c", "d", "e"], "a\0b", ["a\0b"])],
    *[("seed", bad) for bad in (1.0, 1.5, "1", True, [], {}, 2**63, -(2**63) - 1)],
    *[("priority", bad) for bad in ("", "urgent", "HIGH", 1, True, [])],
    *[("metadata", bad) for bad in ([], "a", 1, True, {"a": 1}, {"a": None}, {"a": {}}, {"a": "b\0"}, {"a\0": "b"})],
    ("metadata", {str(number): "x" for number in range(17)}),
]
# What only JSON text can say.
BAD_TEXTS = [
    ("model", r'"\ud800"'),
    ("messages", r'[{"role": "user", "content": "\udc00"}]'),
    ("stop", r'"\ud800"'),
    ("metadata", r'{"a": "\ud800"}'),
    ("metadata", r'{"\ud800": "a"}'),
    ("node_id", r'"\ud800"'),
    ("temperature", "NaN"),
    ("temperature", "Infinity"),
    ("temperature", "-Infinity"),
    ("temperature", "1e400"),
    ("top_p", "NaN"),
    ("top_p", "1e-400"),
    ("max_tokens", "1e3"),
    ("max_tokens", "1e400"),
    ("max_tokens", "9" * 5000),
    ("seed", "1e400"),
    ("seed", "1" + "0" * 400),
]
GOOD_FIELDS: list[tuple[str, Any]] = [
    *[(field, None) for field in ("temperature", "top_p", "stream", "node_id", "stop", "seed", "metadata", "priority")],
    *[("temperature", good) for good in (0, 0.0, 1, 2, 2.0, 1e-9)],
    *[("top_p", good) for good in (1, 1.0, 1e-6, 0.5)],
    ("max_tokens", 1),
    ("stream", False),
    *[("stop", good) for good in ([], "zzz", ["zzz"], ["a1", "b2", "c3", "d4"], "世界")],
    *[("seed", good) for good in (0, -1, INT64, -INT64 - 1)],
    *[("priority", good) for good in ("high", "normal", "low")],
    *[("metadata", good) for good in ({}, {"": ""}, {"k": "v"}, {str(number): "ü" for number in range(16)})],
    *[("unheard_of", anything) for anything in (1, "x", None, [], {"deep": [{}]})],
    ("messages", [{"role": "system", "content": "Be brief."}, USER]),
    ("messages", [USER, {"role": "assistant", "content": "Hi."}, USER]),
    ("messages", [{**USER, "name": "unheard of"}]),
]


def with_field(body: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    changed = {**body, field: value}
    return {key: value for key, value in changed.items() if value is not MISSING}


def named(case: tuple[str, Any]) -> str:
    field, value = case
    return f"{field}={'missing' if value is MISSING else json.dumps(value)[:40]}"


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS, ids=[named(case) for case in BAD_FIELDS])
def test_a_field_that_is_wrong_is_named(api: Api, fast: str, field: str, value: Any) -> None:
    response = api.post("/jobs", with_field(question(fast), field, value))
    message = refused(response, 400, "bad_request", field)
    assert message.startswith(field)


@pytest.mark.parametrize(("field", "text"), BAD_TEXTS, ids=[f"{field}={text[:40]}" for field, text in BAD_TEXTS])
def test_text_that_is_no_value_is_refused(api: Api, fast: str, field: str, text: str) -> None:
    fields = {name: json.dumps(value) for name, value in question(fast).items()} | {field: text}
    content = "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
    refused(api.post("/jobs", content=content.encode()), 400, "bad_request")


@pytest.mark.parametrize(("field", "value"), GOOD_FIELDS, ids=[named(case) for case in GOOD_FIELDS])
def test_a_field_that_is_right_is_accepted(api: Api, fast: str, field: str, value: Any) -> None:
    assert api.run(with_field(question(fast), field, value))["status"] == "completed"


def test_null_max_tokens_means_the_default(api: Api, fast: str) -> None:
    # 64 tokens is what the model has to say: under 32 it stops for the length, under 512 by itself.
    assert api.run(question(fast))["result"]["finish_reason"] == "length"
    assert api.run(question(fast, max_tokens=None))["result"]["finish_reason"] == "stop"


def test_the_answer_has_exactly_four_keys(api: Api, model: str) -> None:
    response = api.post("/jobs", question(model))
    job = answered(response)
    assert set(job) == {"id", "status", "model", "created_at"}
    assert JOB_ID.fullmatch(job["id"])
    assert job["status"] == "pending"
    assert job["model"] == model
    assert TIME.fullmatch(job["created_at"])
    assert response.headers["Content-Type"] == "application/json"


def test_an_accepted_job_is_there_at_once_on_every_replica(api: Api, fast: str) -> None:
    for _ in range(8):
        job = api.submit(question(fast))
        with api.another() as another:
            assert another.job(job["id"])["created_at"] == job["created_at"]


def test_a_streamed_submission_names_its_job(api: Api, model: str) -> None:
    with api.stream("POST", "/jobs", json=question(model, stream=True)) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].split(";")[0] == "text/event-stream"
        job_id = response.headers["X-Job-Id"]
        assert JOB_ID.fullmatch(job_id)
        assert response.headers["Location"] == f"/api/v1/jobs/{job_id}"
        assert response.headers["Cache-Control"] == "no-cache, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
    assert api.job(job_id)["id"] == job_id


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"temperature": 3}, 400, "bad_request"),
        ({"model": "unheard:of"}, 404, "model_not_found"),
        ({"node_id": "node_0000000000000000"}, 404, "node_not_found"),
        ({"max_tokens": 10**9}, 400, "context_length_exceeded"),
    ],
)
def test_an_error_before_the_first_event_is_plain_json(
    api: Api, fast: str, fields: dict[str, Any], status: int, code: str
) -> None:
    refused(api.post("/jobs", {**question(fast, stream=True), **fields}), status, code)


def test_a_job_names_its_model_by_the_catalogues_id(api: Api, fast: str, catalogue: Catalogue) -> None:
    job = api.submit(question("sim:latest"))
    assert job["model"] == fast
    assert api.ended(job["id"])["model"] == fast
    catalogue.need("capitals")
    assert api.submit(question("capitals:latest"))["model"] == "capitals"


@pytest.mark.parametrize("name", ["unheard:of", "sim:FAST", " sim:fast", "sim", "../sim:fast", "世界"])
def test_a_model_that_is_not_in_the_catalogue(api: Api, name: str) -> None:
    refused(api.post("/jobs", question(name)), 404, "model_not_found")


def test_a_model_that_cannot_be_started_has_no_capacity(api: Api, broken: str) -> None:
    refused(api.post("/jobs", question(broken)), 503, "no_capacity")


def test_a_full_queue_has_no_capacity(api: Api, hanging: str) -> None:
    holder, waiting = api.submit(question(hanging)), api.submit(question(hanging))
    refused(api.post("/jobs", question(hanging)), 503, "no_capacity")
    assert api.job(waiting["id"])["status"] == "pending"
    api.post(f"/jobs/{holder['id']}/cancel")
    api.read_some(waiting["id"])  # its turn has come: there is room in the queue again
    answered(api.post("/jobs", question(hanging)))


def test_a_pinned_job_runs_on_its_node(api: Api, fast: str) -> None:
    node = answered(api.get("/nodes"))["nodes"][0]["id"]
    assert api.run(question(fast, node_id=node))["node_id"] == node


def test_a_pin_to_an_unknown_node(api: Api, fast: str) -> None:
    refused(api.post("/jobs", question(fast, node_id="node_0000000000000000")), 404, "node_not_found")


def test_a_pin_to_a_node_that_does_not_serve_the_model(api: Api, broken: str) -> None:
    node = answered(api.get("/nodes"))["nodes"][0]["id"]
    refused(api.post("/jobs", question(broken, node_id=node)), 503, "no_capacity")


def test_more_than_the_context_is_known_at_submission(api: Api, fast: str, failing: str, catalogue: Catalogue) -> None:
    context = catalogue.entry(fast)["context_length"]
    refused(api.post("/jobs", question(fast, max_tokens=context)), 400, "context_length_exceeded")
    prompt = api.run(question(fast))["result"]["usage"]["prompt_tokens"]
    refused(api.post("/jobs", question(fast, max_tokens=context - prompt + 1)), 400, "context_length_exceeded")
    answered(api.post("/jobs", question(fast, max_tokens=context - prompt)))
    refused(api.post("/jobs", question(failing, "a long prompt " * 100)), 400, "context_length_exceeded")


def test_the_context_of_a_real_model_is_known_at_submission(api: Api, catalogue: Catalogue) -> None:
    capitals = catalogue.need("capitals")
    context = catalogue.entry(capitals)["context_length"]
    prompt = api.run(question(capitals))["result"]["usage"]["prompt_tokens"]
    refused(api.post("/jobs", question(capitals, max_tokens=context - prompt + 1)), 400, "context_length_exceeded")
    assert api.run(question(capitals, max_tokens=context - prompt))["status"] == "completed"


def test_the_order_of_checks(
    api: Api, fast: str, broken: str, new_key: KeyMaker, new_account: AccountMaker, anonymous: Api
) -> None:
    poor = new_key(limits=HIGH, budget={"unit": "tokens", "amount": 0, "period": "all"}).api
    big = b"{" + b" " * 1024 * 1024
    node = "node_0000000000000000"
    # Each request has the fault of its own check and those of all the later ones.
    refused(anonymous.post("/jobs", content=big), 401, "unauthorized")
    refused(api.post("/jobs", content=big), 413, "payload_too_large")
    refused(api.post("/jobs", content=b"{"), 400, "bad_request")
    refused(poor.post("/jobs", question("unheard:of", temperature=3, node_id=node)), 400, "bad_request", "temperature")
    refused(poor.post("/jobs", question("unheard:of", node_id=node)), 404, "model_not_found")
    refused(poor.post("/jobs", question(broken, node_id=node)), 404, "node_not_found")
    refused(poor.post("/jobs", question(broken)), 402, "budget_exceeded")
    refused(api.post("/jobs", question(broken)), 503, "no_capacity")


def test_the_rate_limit_comes_before_the_body_is_looked_at(new_key: KeyMaker) -> None:
    limited = new_key(limits={**HIGH, "submissions_per_minute": 1, "submissions_per_hour": 1}).api
    refused(limited.post("/jobs", content=b"{"), 400, "bad_request")
    refused(limited.post("/jobs", content=b"{" + b" " * 1024 * 1024), 429, "rate_limited")


def test_a_refused_request_leaves_no_job(fast: str, broken: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    account = new_account(limits=HIGH)
    api = new_key(account=account, limits=HIGH).api
    poor = new_key(account=account, limits=HIGH, budget={"unit": "tokens", "amount": 0, "period": "all"}).api
    for body in (
        question(fast, temperature=3),
        question("unheard:of"),
        question(fast, node_id="node_0000000000000000"),
        question(fast, max_tokens=10**9),
        question(broken),
    ):
        assert api.post("/jobs", body).status_code >= 400
    assert api.post("/jobs", content=b"{").status_code == 400
    assert poor.post("/jobs", question(fast)).status_code == 402
    assert answered(api.get("/jobs"))["jobs"] == []
    assert all(row["jobs"] == 0 for row in answered(api.get("/usage"))["usage"])
