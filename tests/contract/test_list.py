"""GET /jobs: filters, order and pages."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.contract.client import TIME, Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question

COMPLETED = 23


@pytest.fixture(scope="module")
def listed(new_key: KeyMaker, new_account: AccountMaker, catalogue: Any) -> tuple[Api, list[str]]:
    """A key of an account with 25 ended jobs, and their ids, the oldest first. The last two have failed."""
    api = new_key(account=new_account(limits=HIGH), limits=HIGH).api
    fast, failing = catalogue.need("sim:fast"), catalogue.need("sim:failing")
    models = [fast] * COMPLETED + [failing] * 2
    ids = [api.submit(question(model, f"number {number}"))["id"] for number, model in enumerate(models)]
    for job_id in ids:
        api.ended(job_id)
    return api, ids


def jobs(api: Api, **params: Any) -> list[dict[str, Any]]:
    return list(answered(api.get("/jobs", params=params))["jobs"])


def ids_of(listed: list[dict[str, Any]]) -> list[str]:
    return [job["id"] for job in listed]


def test_twenty_by_default_newest_first(listed: tuple[Api, list[str]]) -> None:
    api, ids = listed
    assert ids_of(jobs(api)) == ids[::-1][:20]


def test_the_same_objects_as_one_by_one(listed: tuple[Api, list[str]]) -> None:
    api, _ = listed
    assert jobs(api, limit=6) == [api.job(job["id"]) for job in jobs(api, limit=6)]


@pytest.mark.parametrize("limit", [1, 2, 24, 25, 100])
def test_limit(listed: tuple[Api, list[str]], limit: int) -> None:
    api, ids = listed
    assert ids_of(jobs(api, limit=limit)) == ids[::-1][:limit]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.0", "1.5", "", "ten", "1e1", "true", "9" * 30, "１"])
def test_a_limit_out_of_range(api: Api, limit: str) -> None:
    refused(api.get("/jobs", params={"limit": limit}), 400, "bad_request", "limit")


def test_status(listed: tuple[Api, list[str]]) -> None:
    api, ids = listed
    assert ids_of(jobs(api, status="completed", limit=100)) == ids[:COMPLETED][::-1]
    assert ids_of(jobs(api, status="failed")) == ids[COMPLETED:][::-1]
    assert ids_of(jobs(api, status="all", limit=100)) == ids[::-1]
    assert jobs(api, status="pending") == jobs(api, status="processing") == []


def test_status_of_jobs_that_have_not_ended(new_key: KeyMaker, hanging: str, api: Api) -> None:
    holder = api.submit(question(hanging))["id"]
    api.read_some(holder)
    waiting = api.submit(question(hanging))["id"]
    assert holder in ids_of(jobs(api, status="processing", limit=100))
    assert waiting in ids_of(jobs(api, status="pending", limit=100))


@pytest.mark.parametrize("status", ["", "done", "Completed", "all,failed", "\0", "x" * 1000])
def test_a_status_that_is_none(api: Api, status: str) -> None:
    refused(api.get("/jobs", params={"status": status}), 400, "bad_request", "status")


def test_since_is_inclusive_and_takes_any_zone(listed: tuple[Api, list[str]]) -> None:
    api, ids = listed
    created = {job["id"]: job["created_at"] for job in jobs(api, limit=100)}
    last = created[ids[-1]]
    moment = datetime.fromisoformat(last)
    expected = [job_id for job_id in ids[::-1] if created[job_id] >= last]
    for since in (
        last,
        moment.replace(tzinfo=None).isoformat(),
        moment.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
        moment.isoformat(),
    ):
        assert ids_of(jobs(api, since=since, limit=100)) == expected
    after = moment + timedelta(seconds=1)
    assert jobs(api, since=after.strftime("%Y-%m-%dT%H:%M:%SZ")) == []


def test_since_a_date_alone_is_midnight_utc(listed: tuple[Api, list[str]]) -> None:
    api, ids = listed
    first = min(job["created_at"] for job in jobs(api, limit=100))
    assert ids_of(jobs(api, since=first[:10], limit=100)) == ids[::-1]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert jobs(api, since=tomorrow) == []


@pytest.mark.parametrize(
    "since", ["0001-01-01", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00+14:00"]
)
def test_since_at_the_ends_of_time(api: Api, since: str) -> None:
    assert api.get("/jobs", params={"since": since}).status_code in (200, 400)


@pytest.mark.parametrize(
    "since",
    ["", "yesterday", "2026-13-01", "2026-02-30", "1746020400", "2026-01-01T25:00:00Z", "-1", "\0", "99999-01-01"],
)
def test_a_since_that_is_no_time(api: Api, since: str) -> None:
    refused(api.get("/jobs", params={"since": since}), 400, "bad_request", "since")


def test_pages_hold_every_job_once_while_new_ones_arrive(listed: tuple[Api, list[str]], fast: str) -> None:
    api, ids = listed
    pages, params = [], {"limit": 7, "status": "completed"}
    while True:
        page = answered(api.get("/jobs", params=params))
        pages += ids_of(page["jobs"])
        if "next_cursor" not in page:
            break
        assert len(page["jobs"]) == 7
        params["cursor"] = page["next_cursor"]
        ids = [*ids, api.run(question(fast, "between pages"))["id"]]
    assert pages == [job_id for job_id in pages if job_id in ids]
    assert pages[:COMPLETED] == pages
    assert set(pages) == {job["id"] for job in jobs(api, status="completed", limit=100)} - set(ids[25:])


def test_no_cursor_when_nothing_follows(listed: tuple[Api, list[str]]) -> None:
    api, _ = listed
    assert "next_cursor" not in answered(api.get("/jobs", params={"status": "failed", "limit": 2}))
    assert "next_cursor" in answered(api.get("/jobs", params={"status": "failed", "limit": 1}))


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "e30", "=" * 10, "a" * 5000, "\0", "世界", "-1"])
def test_a_cursor_that_is_not_ours(api: Api, cursor: str) -> None:
    refused(api.get("/jobs", params={"cursor": cursor}), 400, "bad_request", "cursor")


def test_times_are_utc_in_whole_seconds(listed: tuple[Api, list[str]]) -> None:
    api, _ = listed
    assert all(
        TIME.fullmatch(job["created_at"]) and TIME.fullmatch(job["completed_at"]) for job in jobs(api, limit=100)
    )


@pytest.mark.parametrize(
    ("path", "name", "hint"),
    [
        ("/jobs", "statsu", "did you mean status?"),
        ("/jobs", "page", "known are limit, status, since, cursor, until, model, key, node, error, account"),
        ("/usage", "groupBy", "did you mean group_by?"),
        ("/keys", "account_id", "did you mean account?"),
        ("/models", "al", "did you mean all?"),
        ("/nodes", "all", "unknown parameter"),
    ],
)
def test_unknown_parameters_are_refused_with_the_nearest_name(api: Api, path: str, name: str, hint: str) -> None:
    assert hint in refused(api.get(path, params={name: "x"}), 400, "bad_request", name)


def test_until_is_exclusive(listed: tuple[Api, list[str]]) -> None:
    api, ids = listed
    created = {job["id"]: job["created_at"] for job in jobs(api, limit=100)}
    last = created[ids[-1]]
    assert set(ids_of(jobs(api, until=last, limit=100))) == {job_id for job_id in created if created[job_id] < last}
    assert jobs(api, since=last, until=last) == []


def test_by_model_error_key_and_node(listed: tuple[Api, list[str]], new_key: KeyMaker, fast: str) -> None:
    api, ids = listed
    assert ids_of(jobs(api, model="sim:failing")) == ids[COMPLETED:][::-1]
    assert set(ids_of(jobs(api, model=fast, limit=100))) == set(ids_of(jobs(api, model="sim:latest", limit=100)))
    assert not set(ids_of(jobs(api, model=fast, limit=100))) & set(ids[COMPLETED:])
    assert ids_of(jobs(api, error="engine_error")) == ids[COMPLETED:][::-1]
    assert jobs(api, error="engine_error", model=fast) == []
    (account,) = {key["account_id"] for key in answered(api.get("/keys"))["keys"]}
    other = new_key(account=account, limits=HIGH)
    one = other.api.run(question(fast))
    assert ids_of(jobs(api, key=other.id)) == [one["id"]]
    assert jobs(api, key=other.id, node=one["node_id"], status="completed", model=fast) == [one]
    for asked in ({"error": "timeout"}, {"model": "unheard:of"}, {"node": "node_0"}, {"status": "failed"}):
        assert jobs(api, key=other.id, **asked) == []


def test_admins_find_everybodys_jobs_and_whose_they_are(listed: tuple[Api, list[str]], admin: Api, fast: str) -> None:
    api, ids = listed
    keys = {key["id"]: key["account_id"] for key in answered(api.get("/keys"))["keys"]}
    (account,) = set(keys.values())
    theirs = jobs(admin, account=account, limit=100)
    assert set(ids) <= set(ids_of(theirs))
    assert {(job["account_id"], keys[job["key_id"]]) for job in theirs} == {(account, account)}
    everybodys = jobs(admin, account="all", limit=100)
    assert [job["created_at"] for job in everybodys] == sorted((j["created_at"] for j in everybodys), reverse=True)
    assert ids_of(jobs(admin, account="all", key=theirs[0]["key_id"], limit=100)) == [
        job["id"] for job in theirs if job["key_id"] == theirs[0]["key_id"]
    ]
    assert not set(ids_of(jobs(admin, limit=100))) & set(ids)  # its own account's, unless it says otherwise


def test_a_member_lists_its_own_account_alone(api: Api, account: str, new_account: AccountMaker, fast: str) -> None:
    job = api.run(question(fast))
    listed = jobs(api, account=account, limit=1)
    assert listed[0].items() >= {**job, "account_id": account}.items()
    for other in (new_account(), "all"):
        refused(api.get("/jobs", params={"account": other}), 403, "forbidden", "account")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("error", value) for value in ("", "Timeout", "time out", "\0", "x" * 65)),
        *(("model", value) for value in ("", "\0")),
        *(("key", value) for value in ("", "\0")),
        *(("node", value) for value in ("", "\0")),
        ("until", "yesterday"),
        ("account", ""),
    ],
)
def test_a_filter_that_is_none_is_named(api: Api, name: str, value: str) -> None:
    refused(api.get("/jobs", params={name: value}), 400, "bad_request", name)
