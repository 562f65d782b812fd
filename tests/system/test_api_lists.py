"""The list of jobs at the HTTP door, and queries that are named because they are bad."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api_jobs import completed
from tests.support.http_door import bare_client, names_field, with_api
from tests.support.plain_system import PlainSystem, run


def test_the_list(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        ids = [await completed(system, client, max_tokens=1) for _ in range(5)]

        async def listed(**query: Any) -> dict[str, Any]:
            response = await client.get("/api/v1/jobs", params=query)
            assert response.status_code == 200, response.text
            answer: dict[str, Any] = response.json()
            return answer

        everything = await listed()
        assert set(everything) == {"jobs"}
        assert {job["id"] for job in everything["jobs"]} == set(ids)
        newest_first = [job["id"] for job in everything["jobs"]]
        assert everything["jobs"][0] == (await client.get(f"/api/v1/jobs/{newest_first[0]}")).json()

        pages, cursor = [], None
        while True:
            page = await listed(limit=2, **({"cursor": cursor} if cursor else {}))
            pages.append([job["id"] for job in page["jobs"]])
            if (cursor := page.get("next_cursor")) is None:
                break
        assert list(map(len, pages)) == [2, 2, 1]
        assert [job_id for page in pages for job_id in page] == newest_first

        assert len((await listed(status="completed"))["jobs"]) == len((await listed(status="all"))["jobs"]) == 5
        assert (await listed(status="failed"))["jobs"] == (await listed(status="pending"))["jobs"] == []
        since = everything["jobs"][-1]["created_at"]
        assert len((await listed(since=since))["jobs"]) == 5
        assert len((await listed(since=since.removesuffix("Z")))["jobs"]) == 5
        assert len((await listed(since="2020-01-31"))["jobs"]) == 5
        assert (await listed(since="2999-01-01T00:00:00+02:00"))["jobs"] == []

    with_api(database, scenario)


@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={bad}" for bad in ("0", "101", "-1", "", "x", "1.0", "1e1", "0x5", "5&limit=5", "9" * 400, "%00")),
        *(f"status={bad}" for bad in ("", "done", "PENDING", "all&status=all", "pending%00")),
        *(f"since={bad}" for bad in ("", "yesterday", "1714486000", "2020-02-30", "2020-01-01T25:00", "0000-01-01")),
        *(f"since={bad}" for bad in ("10000-01-01", "2020-01-01%00", "2020-01-01T00:00:00 02:00", "2020-01-01T")),
        *(
            f"cursor={bad}"
            for bad in ("", "!!", "Zm9v", "é", "5.job_x", "5.job_0123456789abcdef%00", "5.job_" + "0" * 99)
        ),
        "cursor=9999999999999999999999999999.job_0123456789abcdef",
        "cursor=-5.job_0123456789abcdef",
    ],
)
def test_a_bad_query_is_named(query: str) -> None:
    async def main() -> None:
        async with bare_client() as client:
            assert names_field(await client.get(f"/api/v1/jobs?{query}"), query.partition("=")[0])

    run(main())


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("models", "all="),
        ("models", "all=1"),
        ("models", "all=TRUE"),
        ("models", "all=true&all=true"),
        ("usage", "group_by="),
        ("usage", "group_by=accounts"),
        ("usage", "group_by=day,"),
        ("usage", "group_by=day, model"),
        ("usage", "format="),
        ("usage", "format=CSV"),
        ("usage", "since=now"),
        ("usage", "until="),
        ("usage", "account="),
        ("usage", "account=a%00"),
        ("keys", "account="),
        ("keys", "account=a&account=b"),
    ],
)
def test_a_bad_query_of_another_path_is_named(path: str, query: str) -> None:
    async def main() -> None:
        async with bare_client() as client:
            assert names_field(await client.get(f"/api/v1/{path}?{query}"), query.partition("=")[0])

    run(main())


def test_extreme_times_are_times(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client, max_tokens=1)

        async def ids(since: str) -> list[str]:
            response = await client.get("/api/v1/jobs", params={"since": since})
            assert response.status_code == 200, response.text
            return [job["id"] for job in response.json()["jobs"]]

        for ancient in (
            "0001-01-01",
            "0001-01-01T00:00:00+23:59",
            "2020-01-01T00:00:00.123456789Z",
            "2020-01-01t00:00z",
        ):
            assert await ids(ancient) == [job_id]
        for distant in ("9999-12-31", "9999-12-31T23:59:59-23:59"):
            assert await ids(distant) == []

    with_api(database, scenario)


def test_the_list_begins_at_since_to_the_millisecond(database: Path) -> None:
    async def scenario(system: PlainSystem, client: httpx.AsyncClient) -> None:
        job_id = await completed(system, client, max_tokens=1)
        ((created_ms,),) = system.rows(f"SELECT created_ms FROM jobs WHERE id = '{job_id}'")

        async def count(ms: int) -> int:
            since = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000).isoformat()
            return len((await client.get("/api/v1/jobs", params={"since": since})).json()["jobs"])

        assert [await count(created_ms - 1), await count(created_ms), await count(created_ms + 1)] == [1, 1, 0]

    with_api(database, scenario)
