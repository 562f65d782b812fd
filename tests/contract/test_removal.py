"""DELETE /jobs/{id}."""

from concurrent.futures import ThreadPoolExecutor

from tests.contract.client import Api, Json, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question


def is_gone(api: Api, job_id: str) -> None:
    """Whatever is asked of it, it is no job."""
    refused(api.get(f"/jobs/{job_id}"), 404, "job_not_found")
    refused(api.get(f"/jobs/{job_id}", params={"wait": 5}), 404, "job_not_found")
    refused(api.get(f"/jobs/{job_id}/stream"), 404, "job_not_found")
    refused(api.get(f"/jobs/{job_id}/placement"), 404, "job_not_found")
    refused(api.post(f"/jobs/{job_id}/cancel"), 404, "job_not_found")
    assert job_id not in [job["id"] for job in answered(api.get("/jobs", params={"limit": 100}))["jobs"]]


def test_an_ended_job_is_gone_on_every_replica(api: Api, model: str, failing: str) -> None:
    for job in (api.run(question(model)), api.run(question(failing))):
        removed = api.delete(f"/jobs/{job['id']}")
        assert (removed.status_code, removed.content) == (204, b"")
        for _ in range(4):
            with api.another() as another:
                is_gone(another, job["id"])


def test_again_is_the_same(api: Api, fast: str) -> None:
    job = api.run(question(fast))

    def remove(_: int) -> int:
        with api.another() as another:
            return another.delete(f"/jobs/{job['id']}").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(remove, range(8))) == {204}
    assert api.delete(f"/jobs/{job['id']}").status_code == 204


def test_a_job_that_has_not_ended_stays(api: Api, hanging: str) -> None:
    running, waiting = (api.submit(question(hanging))["id"] for _ in range(2))
    api.read_some(running)
    for job_id in (running, waiting):
        message = refused(api.delete(f"/jobs/{job_id}"), 409, "conflict")
        assert "cancel" in message
        assert api.job(job_id)["status"] in ("pending", "processing")
        answered(api.post(f"/jobs/{job_id}/cancel"))
        assert api.delete(f"/jobs/{job_id}").status_code == 204


def test_what_it_used_stays(fast: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    api = new_key(account=new_account(limits=HIGH), limits=HIGH).api
    jobs = [api.run(question(fast)) for _ in range(2)]

    def usage() -> list[Json]:
        return [answered(api.get("/usage", params=by))["usage"] for by in ({}, *({"group_by": g} for g in GROUPS))]

    used = usage()
    assert used[0][0]["jobs"] == 2
    assert api.delete(f"/jobs/{jobs[0]['id']}").status_code == 204
    assert usage() == used


GROUPS = ("key", "model", "day")


def test_lists_go_on_where_it_was(fast: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    api = new_key(account=new_account(limits=HIGH), limits=HIGH).api
    ids = [api.run(question(fast))["id"] for _ in range(5)]
    page = answered(api.get("/jobs", params={"limit": 2}))
    assert [job["id"] for job in page["jobs"]] == ids[:-3:-1]
    for gone in (ids[3], ids[2]):
        assert api.delete(f"/jobs/{gone}").status_code == 204
    rest = answered(api.get("/jobs", params={"limit": 2, "cursor": page["next_cursor"]}))
    assert [job["id"] for job in rest["jobs"]] == [ids[1], ids[0]]
    assert "next_cursor" not in rest


def test_its_idempotency_key_is_free_again(api: Api, fast: str) -> None:
    key = {"Idempotency-Key": f"removed {api.run(question(fast))['id']}"}
    first = answered(api.post("/jobs", question(fast), headers=key))["id"]
    api.ended(first)
    assert answered(api.post("/jobs", question(fast), headers=key))["id"] == first
    assert api.delete(f"/jobs/{first}").status_code == 204
    assert answered(api.post("/jobs", question(fast), headers=key))["id"] != first


def test_any_key_of_its_account_may(fast: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    account = new_account(limits=HIGH)
    one, other = (new_key(account=account, limits=HIGH).api for _ in range(2))
    job = one.run(question(fast))
    assert other.delete(f"/jobs/{job['id']}").status_code == 204
    is_gone(one, job["id"])
