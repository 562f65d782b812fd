"""GET /jobs/{id}/placement: why a job runs where it runs."""

from uuid import uuid4

from tests.contract.client import NODE_ID, TIME, Api, answered
from tests.contract.given import question

CANDIDATE = {"engine_id", "node_id", "score", "cached_tokens"}


def test_a_job_that_ran(api: Api, fast: str) -> None:
    job = api.run(question(fast))
    placement = answered(api.get(f"/jobs/{job['id']}/placement"))
    assert set(placement) == {"id", "attempts"}
    assert placement["id"] == job["id"]
    (attempt,) = placement["attempts"]
    assert set(attempt) == {
        "attempt",
        "node_id",
        "engine_id",
        "placed_at",
        "reason",
        "passed",
        "cached_tokens",
        "candidates",
    }
    assert attempt["attempt"] == 1
    assert attempt["node_id"] == job["node_id"]
    assert TIME.fullmatch(attempt["placed_at"])
    for candidate in attempt["candidates"]:
        assert CANDIDATE <= set(candidate) <= CANDIDATE | {"ruled_out_by"}
        assert NODE_ID.fullmatch(candidate["node_id"])
        assert isinstance(candidate["score"], int)
    free = [candidate for candidate in attempt["candidates"] if "ruled_out_by" not in candidate]
    assert len(free) == 2  # the model's two engines
    assert attempt["engine_id"] in [candidate["engine_id"] for candidate in free]
    scores = {candidate["engine_id"]: candidate["score"] for candidate in free}
    assert scores[attempt["engine_id"]] == min(scores.values())


def test_a_job_goes_where_the_beginning_of_its_prompt_has_been_read(api: Api, fast: str) -> None:
    text = f"{uuid4()} " + "and so on. " * 100
    first = api.run(question(fast, text))
    again = api.run(question(fast, text + "And then?"))
    (before,) = answered(api.get(f"/jobs/{first['id']}/placement"))["attempts"]
    (after,) = answered(api.get(f"/jobs/{again['id']}/placement"))["attempts"]
    expected = {candidate["engine_id"]: candidate["cached_tokens"] for candidate in after["candidates"]}
    assert before["cached_tokens"] == 0
    assert after["engine_id"] == before["engine_id"]
    assert after["cached_tokens"] >= expected[after["engine_id"]] > 100
    assert f"engine {after['engine_id']}" in after["reason"]
    assert f"{expected[after['engine_id']]} of the prompt cached" in after["reason"]
    assert f"It found {after['cached_tokens']} tokens of its prompt in the cache." in after["reason"]


def test_a_job_that_waits(api: Api, hanging: str) -> None:
    holder = api.submit(question(hanging))["id"]
    api.read_some(holder)
    waiting = api.submit(question(hanging))["id"]
    placement = answered(api.get(f"/jobs/{waiting}/placement"))
    assert placement["attempts"] == []
    engine = answered(api.get(f"/jobs/{holder}/placement"))["attempts"][0]["engine_id"]
    reasons = {verdict["engine_id"]: verdict["ruled_out_by"] for verdict in placement["waiting"]}
    assert reasons[engine] == "no room"
    assert placement["stage"] == "waiting"
    assert (placement["turn"]["own_jobs_before"], placement["turn"]["priority"]) == (0, "normal")
    model = placement["model"]
    assert (model["id"], model["replicas"], model["wanted"], model["queued"]) == (hanging, 1, 1, 1)
    assert answered(api.get(f"/jobs/{holder}/placement"))["stage"] == "with an engine"
    assert placement["reason"] == "No engine can take it now, of 1: 1 no room."


def test_a_job_that_was_never_placed(api: Api, hanging: str) -> None:
    api.read_some(api.submit(question(hanging))["id"])
    waiting = api.submit(question(hanging))["id"]
    answered(api.post(f"/jobs/{waiting}/cancel"))
    assert answered(api.get(f"/jobs/{waiting}/placement")) == {"id": waiting, "attempts": []}
