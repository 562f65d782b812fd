"""Rate limits: exact, shared by all replicas, told with every answer (`client.check` looks at each)."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contract.client import Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question


def limits(**given: int) -> dict[str, int]:
    return {**HIGH, **given}


def window(response: httpx.Response) -> tuple[int, int, int]:
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    limit, remaining, reset = (int(response.headers[name]) for name in names)
    return limit, remaining, reset


def in_one_window(attempt: Callable[[], list[httpx.Response]]) -> list[httpx.Response]:
    """The answers of the first attempt that did not see a window end: those are fixed on the clock."""
    for _ in range(3):
        answers = attempt()
        if len({window(answer)[2] for answer in answers}) == 1:
            return answers
    raise AssertionError("three windows ended during three attempts")


def test_of_200_at_once_60_pass(fast: str, new_key: KeyMaker) -> None:
    def attempt() -> list[httpx.Response]:
        api = new_key(limits=limits(submissions_per_minute=60, submissions_per_hour=1000)).api

        def submit(_: int) -> httpx.Response:
            with api.another() as another:
                return another.post("/jobs", question(fast, max_tokens=1))

        with ThreadPoolExecutor(50) as pool:
            return list(pool.map(submit, range(200)))

    answers = in_one_window(attempt)
    passed = [answer for answer in answers if answer.status_code == 200]
    assert len(passed) == 60
    assert sorted(window(answer)[1] for answer in passed) == list(range(60))
    for answer in answers:
        limit, remaining, reset = window(answer)
        assert limit == 60
        if answer.status_code != 200:
            refused(answer, 429, "rate_limited")
            assert remaining == 0
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert reset - time.time() <= 60


def test_the_hours_window_and_the_one_with_the_least_left_is_told(fast: str, new_key: KeyMaker) -> None:
    def attempt() -> list[httpx.Response]:
        api = new_key(limits=limits(submissions_per_minute=10, submissions_per_hour=12)).api
        return [api.post("/jobs", question(fast, max_tokens=1)) for _ in range(11)]

    answers = in_one_window(attempt)
    assert [window(answer)[:2] for answer in answers[:10]] == [(10, left) for left in range(9, -1, -1)]
    assert answers[10].status_code == 429

    def hourly() -> list[httpx.Response]:
        api = new_key(limits=limits(submissions_per_minute=100, submissions_per_hour=3)).api
        return [api.post("/jobs", question(fast, max_tokens=1)) for _ in range(4)]

    answers = in_one_window(hourly)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    for answer, left in zip(answers, (2, 1, 0, 0), strict=True):
        limit, remaining, reset = window(answer)
        assert (limit, remaining, reset % 3600) == (3, left, 0)
    assert abs(int(answers[3].headers["Retry-After"]) - (window(answers[3])[2] - time.time())) < 3


def test_reads_have_a_bucket_of_their_own(fast: str, new_key: KeyMaker) -> None:
    def attempt() -> list[httpx.Response]:
        api = new_key(limits=limits(reads_per_minute=3)).api
        reads = [api.get("/models") for _ in range(4)]
        assert api.post("/jobs", question(fast, max_tokens=1)).status_code == 200
        return reads

    answers = in_one_window(attempt)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    refused(answers[3], 429, "rate_limited")

    submitter = new_key(limits=limits(submissions_per_minute=1, submissions_per_hour=1)).api
    assert submitter.post("/jobs", question(fast, max_tokens=1)).status_code == 200
    assert submitter.post("/jobs", question(fast, max_tokens=1)).status_code == 429
    assert submitter.get("/jobs").status_code == 200


def test_refused_submissions_are_charged(fast: str, broken: str, new_key: KeyMaker) -> None:
    def attempt() -> list[httpx.Response]:
        key = new_key(
            limits=limits(submissions_per_minute=100), budget={"unit": "tokens", "amount": 100, "period": "all"}
        )
        api, v1 = key.api, "/v1/chat/completions"
        return [
            api.post("/jobs", question(fast, max_tokens=1)),
            api.post("/jobs", question(fast, temperature=3)),
            api.post("/jobs", content=b"{"),
            api.post("/jobs", question("unheard:of")),
            api.post("/jobs", question(fast, max_tokens=1000)),
            api.post("/jobs", question(broken, max_tokens=1)),
            api.post("/jobs", content=b"{" + b" " * 1024 * 1024),
            api.request("POST", v1, json=question(fast, max_tokens=1)),
            api.request("POST", v1, json=question("unheard:of")),
            api.request("POST", v1, content=b"{"),
        ]

    answers = in_one_window(attempt)
    assert [answer.status_code for answer in answers] == [200, 400, 400, 404, 402, 503, 413, 200, 404, 400]
    assert [window(answer)[:2] for answer in answers] == [(100, left) for left in range(99, 89, -1)]


def test_everything_else_is_charged_to_the_reads(fast: str, new_key: KeyMaker) -> None:
    def attempt() -> list[httpx.Response]:
        api = new_key(limits=limits(reads_per_minute=1000)).api
        job = api.submit(question(fast, max_tokens=1))["id"]
        made = api.post("/keys", {"name": "x"})
        return [
            made,
            api.delete(f"/keys/{made.json()['id']}"),
            api.get("/jobs"),
            api.get(f"/jobs/{job}"),
            api.get(f"/jobs/{job}/stream"),
            api.get(f"/jobs/{job}/placement"),
            api.get(f"/jobs/{job}/stream?after=x"),
            api.post(f"/jobs/{job}/cancel"),
            api.get("/nowhere"),
            api.request("PUT", "/api/v1/jobs"),
            api.get("/accounts"),
            api.get("/usage"),
            api.request("GET", "/v1/models"),
            api.request("GET", "/v1/nowhere"),
            api.request("GET", "/v1/chat/completions"),
        ]

    answers = in_one_window(attempt)
    statuses = [answer.status_code for answer in answers]
    assert statuses[:7] == [201, 204, 200, 200, 200, 200, 400]
    assert statuses[7] in (200, 409)
    assert statuses[8:] == [404, 405, 403, 200, 200, 404, 405]
    assert [window(answer)[:2] for answer in answers] == [(1000, 999 - number) for number in range(len(answers))]


def test_a_stream_tells_the_charged_window(fast: str, new_key: KeyMaker) -> None:
    api = new_key(limits=limits(submissions_per_minute=77, reads_per_minute=88)).api
    with api.stream("POST", "/jobs", json=question(fast, stream=True)) as response:
        assert window(response)[0] == 77
        job_id = response.headers["X-Job-Id"]
    with api.stream("GET", f"/jobs/{job_id}/stream") as response:
        assert window(response)[0] == 88
    body = question(fast, stream=True)
    with api.http.stream("POST", "/v1/chat/completions", json=body) as response:
        assert window(response)[0] == 77


def test_limits_are_per_key(fast: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    account = new_account(limits=HIGH)
    one, other = (new_key(account=account, limits=limits(submissions_per_minute=1)).api for _ in range(2))
    assert one.post("/jobs", question(fast, max_tokens=1)).status_code == 200
    assert other.post("/jobs", question(fast, max_tokens=1)).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/v1/chat/completions"])
def test_tokens_per_minute(api: Api, fast: str, new_key: KeyMaker, path: str) -> None:
    prompt = api.run(question(fast))["result"]["usage"]["prompt_tokens"]
    most = prompt + 20

    def attempt() -> list[httpx.Response]:
        caller = new_key(limits=limits(tokens_per_minute=3 * most)).api
        return [caller.request("POST", path, json=question(fast, max_tokens=20)) for _ in range(4)]

    for _ in range(3):
        answers = attempt()
        if answers[3].status_code == 429:
            break
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    refused(answers[3], 429, "rate_limited")
    assert window(answers[3])[:2] == (3 * most, 0)

    caller = new_key(limits=limits(tokens_per_minute=3 * most)).api
    refused(caller.request("POST", path, json=question(fast, max_tokens=3 * most)), 400, "bad_request", "max_tokens")


def test_answers_to_strangers_tell_no_window(anonymous: Api) -> None:
    response = anonymous.get("/jobs")  # `client.check` has looked at its headers
    assert response.status_code == 401


def test_the_bucket_of_a_429_is_not_charged_further(fast: str, new_key: KeyMaker) -> None:
    """Who hammers on is let in again when the window ends, not later."""

    def attempt() -> list[httpx.Response]:
        api = new_key(limits=limits(submissions_per_minute=2)).api
        return [api.post("/jobs", question(fast, max_tokens=1)) for _ in range(6)]

    answers = in_one_window(attempt)
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429, 429]
    assert len({window(answer)[2] for answer in answers}) == 1
    waits = [int(answer.headers["Retry-After"]) for answer in answers[2:]]
    assert waits == sorted(waits, reverse=True)


def test_settings_of_a_key_are_told_by_its_windows(new_key: KeyMaker) -> None:
    made: dict[str, Any] = new_key(
        limits={"submissions_per_minute": 5, "submissions_per_hour": 50, "reads_per_minute": 9}
    ).body
    assert made["limits"]["submissions_per_minute"] == 5
    assert made["limits"]["submissions_per_hour"] == 50
    assert made["limits"]["reads_per_minute"] == 9
    assert answered(new_key(limits=limits(reads_per_minute=9)).api.get("/models"))
