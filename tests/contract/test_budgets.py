"""Budgets are hard: no number of jobs at once overshoots one."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question

AT_ONCE = 64
ROOM = 10
MAX_TOKENS = 16


def tokens(amount: int, period: str = "all") -> dict[str, Any]:
    return {"unit": "tokens", "amount": amount, "period": period}


@pytest.fixture
def most(api: Api, fast: str) -> int:
    """What a job of these tests consumes: it uses all of its max_tokens."""
    usage = api.run(question(fast, max_tokens=MAX_TOKENS))["result"]["usage"]
    assert usage["completion_tokens"] == MAX_TOKENS
    return int(usage["total_tokens"])


def state(key: Api, key_id: str) -> dict[str, Any]:
    return next(dict(found["budget"]) for found in answered(key.get("/keys"))["keys"] if found["id"] == key_id)


def submit_at_once(apis: list[Api], body: dict[str, Any], count: int = AT_ONCE) -> list[str]:
    """Ids of the jobs that were let in; the others were refused for the budget."""

    def submit(number: int) -> str | None:
        with apis[number % len(apis)].another() as another:
            response = another.post("/jobs", body)
            if response.status_code == 200:
                return str(response.json()["id"])
            refused(response, 402, "budget_exceeded")
            return None

    with ThreadPoolExecutor(count) as pool:
        return [job_id for job_id in pool.map(submit, range(count)) if job_id]


@pytest.mark.parametrize("period", ["month", "all"])
def test_64_jobs_at_once_against_room_for_10(fast: str, most: int, new_key: KeyMaker, period: str) -> None:
    key = new_key(limits=HIGH, budget=tokens(ROOM * most + most - 1, period))
    ids = submit_at_once([key.api], question(fast, max_tokens=MAX_TOKENS))
    assert len(ids) == ROOM
    for job_id in ids:
        key.api.ended(job_id)
    assert state(key.api, key.id) == {**key.body["budget"], "spent": ROOM * most, "reserved": 0}
    refused(key.api.post("/jobs", question(fast, max_tokens=MAX_TOKENS)), 402, "budget_exceeded")


def test_an_accounts_budget_holds_for_all_its_keys(
    fast: str, most: int, new_key: KeyMaker, new_account: AccountMaker
) -> None:
    account = new_account(limits=HIGH, budget=tokens(ROOM * most))
    apis = [new_key(account=account, limits=HIGH).api for _ in range(4)]
    ids = submit_at_once(apis, question(fast, max_tokens=MAX_TOKENS))
    assert len(ids) == ROOM
    for job_id in ids:
        apis[0].ended(job_id)


def test_the_smaller_of_both_budgets_decides(
    fast: str, most: int, new_key: KeyMaker, new_account: AccountMaker
) -> None:
    account = new_account(limits=HIGH, budget=tokens(3 * most))
    small = new_key(account=account, limits=HIGH, budget=tokens(2 * most)).api
    large = new_key(account=account, limits=HIGH).api
    body = question(fast, max_tokens=MAX_TOKENS)
    assert [small.post("/jobs", body).status_code for _ in range(3)] == [200, 200, 402]
    assert [large.post("/jobs", body).status_code for _ in range(2)] == [200, 402]


def test_money(fast: str, new_key: KeyMaker, api: Api, catalogue: Catalogue) -> None:
    price = catalogue.entry(fast)["price"]
    usage = api.run(question(fast, max_tokens=MAX_TOKENS))["result"]["usage"]
    # Currency units per million tokens are millionths per token.
    cost = round(usage["prompt_tokens"] * price["prompt"] + MAX_TOKENS * price["completion"])
    key = new_key(limits=HIGH, budget={"unit": "money", "amount": ROOM * cost, "period": "all"})
    ids = submit_at_once([key.api], question(fast, max_tokens=MAX_TOKENS))
    assert len(ids) == ROOM
    for job_id in ids:
        key.api.ended(job_id)
    assert state(key.api, key.id)["spent"] == ROOM * cost


def test_what_was_reserved_and_not_used_is_free_again(fast: str, most: int, new_key: KeyMaker) -> None:
    key = new_key(limits=HIGH, budget=tokens(600))
    assert key.api.run(question(fast, max_tokens=500))["result"]["usage"]["completion_tokens"] == 64
    # 500 more would not have fitted beside a reservation of 500.
    assert key.api.run(question(fast, max_tokens=500))["status"] == "completed"
    assert state(key.api, key.id)["reserved"] == 0
    assert state(key.api, key.id)["spent"] == 2 * (most - MAX_TOKENS + 64)


def test_a_running_job_holds_its_reservation(slow: str, new_key: KeyMaker) -> None:
    key = new_key(limits=HIGH, budget=tokens(1500))
    job_id = key.api.submit(question(slow, max_tokens=1000))["id"]
    assert 1000 < state(key.api, key.id)["reserved"] <= 1500
    refused(key.api.post("/jobs", question(slow, max_tokens=1000)), 402, "budget_exceeded")
    key.api.read_some(job_id)
    answered(key.api.post(f"/jobs/{job_id}/cancel"))
    after = state(key.api, key.id)
    assert after["reserved"] == 0
    assert 0 < after["spent"] < 500


def test_a_failed_job_spends_what_it_used(failing: str, new_key: KeyMaker) -> None:
    key = new_key(limits=HIGH, budget=tokens(1000))
    key.api.run(question(failing))
    after = state(key.api, key.id)
    assert after["reserved"] == 0
    assert 5 <= after["spent"] < 32


def test_an_empty_budget(fast: str, new_key: KeyMaker) -> None:
    api = new_key(limits=HIGH, budget=tokens(0)).api
    refused(api.post("/jobs", question(fast)), 402, "budget_exceeded", "budget")
    refused(api.post("/jobs", question(fast, stream=True)), 402, "budget_exceeded")
    refused(api.request("POST", "/v1/chat/completions", json=question(fast)), 402, "budget_exceeded")
    assert answered(api.get("/models"))["models"]


def test_a_refused_job_reserves_nothing(fast: str, broken: str, new_key: KeyMaker) -> None:
    key = new_key(limits=HIGH, budget=tokens(100_000))
    refused(key.api.post("/jobs", question(broken)), 503, "no_capacity")
    refused(key.api.post("/jobs", question(fast, node_id="node_0000000000000000")), 404, "node_not_found")
    assert state(key.api, key.id) == {**key.body["budget"], "spent": 0, "reserved": 0}
