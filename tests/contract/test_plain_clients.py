"""Clients that need nothing of ours: httpx-sse, and a poller."""

import time

import httpx
from httpx_sse import connect_sse

from tests.contract.client import Api
from tests.contract.given import question

POLL_S = 0.5


def test_httpx_sse(api: Api, model: str) -> None:
    headers = {"Authorization": f"Bearer {api.key}"}
    text, last = "", None
    with (
        httpx.Client(base_url=api.url, headers=headers, timeout=60) as http,
        connect_sse(http, "POST", "/api/v1/jobs", json=question(model, stream=True, max_tokens=64)) as source,
    ):
        job_id = source.response.headers["X-Job-Id"]
        for event in source.iter_sse():
            assert event.event == "message"
            last = event.data
            if last == "[DONE]":
                continue
            text += event.json()["text"]
            assert event.id == str(len(text))
    assert last == "[DONE]"
    assert text == api.ended(job_id)["result"]["content"]


def test_a_poller_at_500_ms(api: Api, model: str) -> None:
    job_id = api.submit(question(model, max_tokens=64))["id"]
    seen = []
    while not seen or seen[-1] in ("pending", "processing"):
        if seen:
            time.sleep(POLL_S)  # what this client does
        seen.append(api.job(job_id)["status"])
    assert seen[-1] == "completed"
    assert seen == sorted(seen, key=["pending", "processing", "completed"].index)
