"""GET /jobs/{id}/timeline: what became of a job, in milliseconds."""

from typing import Any

from tests.contract.client import Api, answered
from tests.contract.given import question

ALWAYS = {"event", "at_ms", "after_ms"}
OF_ATTEMPTS = ALWAYS | {"attempt", "node_id", "engine_id"}


def timeline(api: Api, job_id: str) -> list[dict[str, Any]]:
    body = answered(api.get(f"/jobs/{job_id}/timeline"))
    assert set(body) == {"id", "timeline"}
    assert body["id"] == job_id
    events: list[dict[str, Any]] = body["timeline"]
    assert [event["after_ms"] for event in events] == sorted(event["after_ms"] for event in events)
    assert {event["at_ms"] - event["after_ms"] for event in events} == {events[0]["at_ms"]}
    assert events[0] == {"event": "queued", "at_ms": events[0]["at_ms"], "after_ms": 0}
    return events


def test_a_job_that_ran(api: Api, model: str) -> None:
    job = api.run(question(model))
    queued, placed, first_token, ended = events = timeline(api, job["id"])
    assert [event["event"] for event in events] == ["queued", "placed", "first_token", "ended"]
    assert set(placed) == set(first_token) == OF_ATTEMPTS
    assert set(queued) == set(ended) == ALWAYS
    (attempt,) = answered(api.get(f"/jobs/{job['id']}/placement"))["attempts"]
    assert {placed[name] for name in ("attempt", "node_id", "engine_id")} == {
        attempt[name] for name in ("attempt", "node_id", "engine_id")
    }
    assert ended["after_ms"] == job["latency_ms"]


def test_a_job_that_waits_and_one_that_runs(api: Api, hanging: str) -> None:
    holder = api.submit(question(hanging))["id"]
    api.read_some(holder)
    waiting = api.submit(question(hanging))["id"]
    assert [event["event"] for event in timeline(api, waiting)] == ["queued"]
    assert [event["event"] for event in timeline(api, holder)] == ["queued", "placed", "first_token"]


def test_a_job_that_never_ran(api: Api, hanging: str) -> None:
    holder = api.submit(question(hanging))["id"]
    api.read_some(holder)
    waiting = api.submit(question(hanging))["id"]
    answered(api.post(f"/jobs/{waiting}/cancel"))
    assert [event["event"] for event in timeline(api, waiting)] == ["queued", "ended"]
