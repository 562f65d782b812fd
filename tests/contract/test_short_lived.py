"""What needs a system of its own: other settings, or a machine that is given up. Simulated models only."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.contract.client import Api, answered, refused
from tests.contract.given import question
from tests.contract.streams import events
from tests.support.serving import Serving
from tests.support.waiting import wait_until

TIMEOUT_S = 3
SETTINGS: dict[str, Any] = {
    "server": {"replicas": 1},
    "job_timeout_s": TIMEOUT_S,
    "models": [
        {
            "id": "sim:elastic",
            "backend": "simulated",
            "replicas": {"min": 0, "max": 2, "idle_s": 1},
            "engine": {"load_s": TIMEOUT_S + 1, "batch_slots": 1},
        },
        {"id": "sim:hanging", "backend": "simulated", "engine": {"hang_at_token": 5, "batch_slots": 1}},
        {"id": "sim:steady", "backend": "simulated", "engine": {"token_s": 0.05, "batch_slots": 1}},
    ],
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Serving]:
    if request.config.getoption("--url"):
        pytest.skip("needs a system with settings of its own")
    system = Serving(tmp_path_factory.mktemp("lonely"), SETTINGS)
    try:
        system.wait_until_ready("sim:hanging", "sim:steady")
        yield system
        assert system.stop() == 0
    finally:
        system.end()


@pytest.fixture(scope="module")
def lonely(serving: Serving) -> Iterator[Api]:
    """An admin of a system whose jobs have 3 seconds, on a machine that the last test gives up."""
    with Api(serving.connection.url, serving.connection.key) as api:
        yield api


def check_timed_out(job: dict[str, Any]) -> None:
    assert (job["status"], job["error"]) == ("failed", "timeout")
    elapsed = datetime.fromisoformat(job["completed_at"]) - datetime.fromisoformat(job["created_at"])
    assert TIMEOUT_S - 1 <= elapsed.total_seconds() <= TIMEOUT_S + 2


def test_limits_are_60_1000_and_600_unless_they_are_set(lonely: Api) -> None:
    made = answered(lonely.post("/keys", {"name": "plain"}), 201)
    defaults = {"submissions_per_minute": 60, "submissions_per_hour": 1000, "reads_per_minute": 600}
    assert made["limits"] == defaults
    with Api(lonely.url, made["key"]) as api:
        assert api.get("/models").headers["X-RateLimit-Limit"] == "600"
        assert api.post("/jobs", question("sim:steady", max_tokens=1)).headers["X-RateLimit-Limit"] == "60"


def test_a_job_that_runs_and_one_that_waits_time_out(lonely: Api) -> None:
    running, waiting = (lonely.submit(question("sim:hanging"))["id"] for _ in range(2))
    text = lonely.read_some(running)
    assert lonely.job(running)["status"] == "processing"
    assert lonely.job(waiting)["status"] == "pending"
    for job_id in (running, waiting):
        told = lonely.read(job_id)
        job = lonely.job(job_id)
        check_timed_out(job)
        assert told.error == {"error": "timeout", "message": job["error_message"]}
        # The one that waits may be given the place of the other, for the moment that its own time is later.
        assert lonely.read(job_id).text == told.text
    assert lonely.read(running).text.startswith(text)


def test_after_a_timeout_the_engine_is_free_and_late_output_is_dropped(lonely: Api) -> None:
    late = lonely.submit(question("sim:steady", max_tokens=120))["id"]  # 6 s of answer
    told = lonely.read(late)
    check_timed_out(lonely.job(late))
    usage = answered(lonely.get("/usage", params={"group_by": "model"}))["usage"]
    assert lonely.run(question("sim:steady", max_tokens=5))["status"] == "completed"  # its one place is free
    assert lonely.read(late).text == told.text
    (before,) = [row for row in usage if row["model"] == "sim:steady"]
    (after,) = [
        row
        for row in answered(lonely.get("/usage", params={"group_by": "model"}))["usage"]
        if row["model"] == "sim:steady"
    ]
    assert after["completion_tokens"] - before["completion_tokens"] == 5


def test_a_timeout_of_v1(lonely: Api) -> None:
    response = lonely.request("POST", "/v1/chat/completions", json=question("sim:hanging"))
    assert response.status_code in (500, 503, 504, 408)
    assert response.json()["error"]["code"] == "timeout"


def test_a_model_that_is_started_by_its_jobs_and_ends_without_them(serving: Serving, lonely: Api) -> None:
    """It takes longer to load than its jobs have."""

    def told() -> dict[str, Any]:
        everything = answered(lonely.get("/models", params={"all": "true"}))["models"]
        return next(model for model in everything if model["id"] == "sim:elastic")

    idle = told()
    assert (idle["state"], idle["wanted"], idle["replicas"]) == ("idle", 0, 0)
    assert idle["scaling"] == "no replica: the next job starts one"
    assert "sim:elastic" in [model["id"] for model in lonely.request("GET", "/v1/models").json()["data"]]
    job_ids = [lonely.submit(question("sim:elastic", max_tokens=5))["id"] for _ in range(2)]
    serving.wait_for("Model sim:elastic: starting")
    wait_until(lambda: told()["wanted"] == 2, within_s=10, what="the second job is counted")
    starting = told()
    assert starting["state"] == "starting"
    assert starting["scaling"].startswith("2 replicas, the most there may be: 2 jobs, 2 of them waiting; 1 for each")
    assert [lonely.ended(job_id)["status"] for job_id in job_ids] == ["completed", "completed"]
    assert told()["state"] == "ready"
    serving.wait_for("Model sim:elastic: idle")
    assert told()["replicas"] == 0


def test_a_machine_that_is_given_up(lonely: Api) -> None:
    """What runs ends there; nothing new comes; what waited has nowhere to go. There is no other machine.

    With more time than these jobs have, their error would be `no_capacity`: another machine might have joined.
    """
    node = answered(lonely.get("/nodes"))["nodes"][0]["id"]
    with (
        lonely.another() as another,
        another.stream("POST", "/jobs", json=question("sim:steady", max_tokens=20, stream=True)) as response,
    ):
        running, told = response.headers["X-Job-Id"], events(response)
        next(told)
        waiting = lonely.submit(question("sim:steady"))["id"]
        pinned = lonely.submit(question("sim:steady", node_id=node))["id"]
        drained = answered(lonely.post(f"/nodes/{node}/drain"))
        assert (drained["id"], drained["status"]) == (node, "draining")
        assert [event.done for event in told][-1]
    assert lonely.ended(running)["status"] == "completed"
    for job_id in (waiting, pinned):
        job = lonely.ended(job_id)
        assert job["status"] == "failed"
        assert job["error"] in ("no_capacity", "timeout")
        assert answered(lonely.get(f"/jobs/{job_id}/placement"))["attempts"] == []
    refused(lonely.post("/jobs", question("sim:steady")), 503, "no_capacity")
    refused(lonely.post("/jobs", question("sim:steady", node_id=node)), 503, "no_capacity")
    assert answered(lonely.get(f"/nodes/{node}"))["status"] == "draining"
    assert answered(lonely.get(f"/nodes/{node}/status")) == {"status": "online"}
    assert answered(lonely.post(f"/nodes/{node}/undrain"))["status"] == "online"
    assert lonely.ended(lonely.submit(question("sim:steady", node_id=node))["id"])["status"] == "completed"
