"""Idempotency-Key: one job, however often its submission is sent."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.client import Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question


def under(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def test_the_same_body_gives_the_same_job(api: Api, model: str, name: str) -> None:
    first = api.submit(question(model), headers=under(name))
    again = api.submit(question(model), headers=under(name))
    assert again == first
    api.ended(first["id"])
    after = api.submit(question(model), headers=under(name))
    assert after == first  # "pending", as it was answered


def test_the_body_is_compared_as_parsed(api: Api, fast: str, name: str) -> None:
    body = question(fast)
    first = api.submit(body, headers=under(name))
    turned = json.dumps(dict(reversed(body.items())), indent=3).encode()
    assert answered(api.post("/jobs", content=turned, headers=under(name)))["id"] == first["id"]


@pytest.mark.parametrize("fields", [{"temperature": 0.1}, {"max_tokens": 31}, {"seed": 1}, {"metadata": {"a": "b"}}])
def test_another_body_is_a_conflict(api: Api, fast: str, name: str, fields: dict[str, object]) -> None:
    api.submit(question(fast), headers=under(name))
    refused(api.post("/jobs", question(fast, **fields), headers=under(name)), 409, "conflict")
    refused(api.post("/jobs", question(fast, "Another."), headers=under(name)), 409, "conflict")


def test_without_the_header_each_submission_is_a_job(api: Api, fast: str) -> None:
    assert api.submit(question(fast))["id"] != api.submit(question(fast))["id"]


def test_it_is_per_account(api: Api, fast: str, name: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    mine = api.submit(question(fast), headers=under(name))
    assert new_key().api.submit(question(fast), headers=under(name)) == mine
    stranger = new_key(account=new_account(limits=HIGH)).api
    assert stranger.submit(question(fast, "Something else."), headers=under(name))["id"] != mine["id"]


def test_a_stream_is_given_from_its_start(api: Api, model: str, name: str) -> None:
    job_id, told = api.submit_streamed(question(model), headers=under(name))
    again_id, again = api.submit_streamed(question(model), headers=under(name))
    assert (again_id, again.text) == (job_id, told.text)
    assert again.events[-1].done


def test_a_stream_that_broke_is_had_again(api: Api, fast: str, name: str) -> None:
    body = question(fast, stream=True, max_tokens=64)
    with api.another() as another, another.stream("POST", "/jobs", json=body, headers=under(name)) as response:
        job_id = response.headers["X-Job-Id"]
    again_id, again = api.submit_streamed(body, headers=under(name))
    assert again_id == job_id
    assert again.text == api.ended(job_id)["result"]["content"]


@pytest.mark.parametrize("at_once", [2, 32])
def test_posts_at_once_make_one_job(
    fast: str, name: str, at_once: int, new_key: KeyMaker, new_account: AccountMaker
) -> None:
    api = new_key(account=new_account(limits=HIGH), limits=HIGH).api

    def submit(_: int) -> str:
        with api.another() as another:
            return str(another.submit(question(fast), headers=under(name))["id"])

    with ThreadPoolExecutor(at_once) as pool:
        ids = set(pool.map(submit, range(at_once)))
    assert len(ids) == 1
    assert [job["id"] for job in answered(api.get("/jobs"))["jobs"]] == list(ids)


def test_a_refused_request_does_not_use_the_key_up(api: Api, fast: str, broken: str, name: str) -> None:
    refused(api.post("/jobs", question("unheard:of"), headers=under(name)), 404, "model_not_found")
    refused(api.post("/jobs", question(fast, temperature=3), headers=under(name)), 400, "bad_request")
    refused(api.post("/jobs", question(broken), headers=under(name)), 503, "no_capacity")
    api.submit(question(fast), headers=under(name))


def test_a_repeat_is_answered_though_its_model_has_no_room(api: Api, hanging: str, name: str) -> None:
    first = api.submit(question(hanging), headers=under(name))
    api.read_some(first["id"])
    api.submit(question(hanging))
    refused(api.post("/jobs", question(hanging)), 503, "no_capacity")
    assert api.submit(question(hanging), headers=under(name)) == first


def test_at_most_255_characters(api: Api, fast: str, name: str) -> None:
    answered(api.post("/jobs", question(fast), headers=under(name + "x" * (255 - len(name)))))
    refused(api.post("/jobs", question(fast), headers=under("x" * 256)), 400, "bad_request", "Idempotency-Key")


def test_a_repeat_is_billed_once(fast: str, name: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    api = new_key(account=new_account(limits=HIGH), limits=HIGH).api
    for _ in range(3):
        job = api.submit(question(fast), headers=under(name))
    api.ended(job["id"])
    (row,) = answered(api.get("/usage"))["usage"]
    assert row["jobs"] == 1
