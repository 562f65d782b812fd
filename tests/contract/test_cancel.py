"""POST /jobs/{id}/cancel."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.contract.client import Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question
from tests.contract.streams import events

TOKEN_S = 0.05


def test_a_running_job(api: Api, slow: str) -> None:
    job_id = api.submit(question(slow, max_tokens=1500))["id"]
    api.read_some(job_id, pieces=3)
    job = answered(api.post(f"/jobs/{job_id}/cancel"))
    assert (job["id"], job["status"], job["error"]) == (job_id, "failed", "cancelled")
    assert job["error_message"]
    assert "result" not in job
    assert api.job(job_id) == job


def test_a_pending_job(api: Api, hanging: str) -> None:
    api.read_some(api.submit(question(hanging))["id"])
    waiting = api.submit(question(hanging))["id"]
    job = answered(api.post(f"/jobs/{waiting}/cancel"))
    assert (job["status"], job["error"]) == ("failed", "cancelled")
    assert "node_id" not in job
    assert [event.error for event in api.read(waiting).events] == [
        {"error": "cancelled", "message": job["error_message"]}
    ]


def test_its_readers_get_the_partial_text_and_the_error(api: Api, slow: str) -> None:
    job_id = api.submit(question(slow, max_tokens=1500))["id"]
    speaks = threading.Event()

    def follow() -> tuple[str, str]:
        text = ""
        with api.another() as another, another.stream("GET", f"/jobs/{job_id}/stream") as response:
            for event in events(response):
                text += event.text
                speaks.set()
        assert event.error
        return text, event.error["error"]

    with ThreadPoolExecutor(1) as pool:
        live = pool.submit(follow)
        assert speaks.wait(30)
        answered(api.post(f"/jobs/{job_id}/cancel"))
        text, error = live.result(10)
    assert error == "cancelled"
    assert text
    assert api.read(job_id).text == text


def test_the_engine_stops_within_1_s(api: Api, hanging: str) -> None:
    """The engine takes one job at a time: the next one speaks once it has let go of the first."""
    holder, waiting = api.submit(question(hanging))["id"], api.submit(question(hanging))["id"]
    api.read_some(holder)
    began_s = time.monotonic()
    answered(api.post(f"/jobs/{holder}/cancel"))
    api.read_some(waiting)
    assert time.monotonic() - began_s < 1.5  # its first token, and the way here


def test_tokens_produced_are_billed(slow: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    api = new_key(account=new_account(limits=HIGH), limits=HIGH).api
    began_s = time.monotonic()
    job_id = api.submit(question(slow, max_tokens=1500))["id"]
    seen = api.read_some(job_id, pieces=10)
    answered(api.post(f"/jobs/{job_id}/cancel"))
    elapsed_s = time.monotonic() - began_s
    (row,) = answered(api.get("/usage"))["usage"]
    assert row["jobs"] == 1
    assert row["prompt_tokens"] > 0
    # No token is longer than 25 characters, and the engine stops within a second.
    assert len(seen) / 25 <= row["completion_tokens"] <= (elapsed_s + 1) / TOKEN_S
    time.sleep(0.2)  # what came later is dropped
    assert answered(api.get("/usage"))["usage"] == [row]
    assert api.read(job_id).text.startswith(seen)


def test_a_job_that_has_ended(api: Api, model: str, failing: str) -> None:
    for ended in (api.run(question(model)), api.run(question(failing))):
        refused(api.post(f"/jobs/{ended['id']}/cancel"), 409, "conflict")
        assert api.job(ended["id"]) == ended


def test_twice(api: Api, slow: str) -> None:
    job_id = api.submit(question(slow, max_tokens=1500))["id"]
    answered(api.post(f"/jobs/{job_id}/cancel"))
    refused(api.post(f"/jobs/{job_id}/cancel"), 409, "conflict")


def test_at_once_from_many_sides(api: Api, slow: str) -> None:
    job_id = api.submit(question(slow, max_tokens=1500))["id"]

    def cancel(_: int) -> int:
        with api.another() as another:
            return another.post(f"/jobs/{job_id}/cancel").status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(cancel, range(8)))
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert api.job(job_id)["error"] == "cancelled"
