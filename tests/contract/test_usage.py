"""GET /usage: each ended job counted exactly once, at the catalogue's prices."""

import csv
import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, MadeKey, question

SUMS = ("jobs", "prompt_tokens", "completion_tokens", "cost")


@pytest.fixture(scope="module")
def used(new_key: KeyMaker, new_account: AccountMaker, catalogue: Catalogue) -> tuple[MadeKey, MadeKey, list[Any]]:
    """Two keys of an account, and its ended jobs with their keys: completed, failed and cancelled ones."""
    account = new_account(limits=HIGH)
    one, other = new_key(account=account, limits=HIGH), new_key(account=account, limits=HIGH)
    fast, failing, slow = (catalogue.need(f"sim:{name}") for name in ("fast", "failing", "slow"))
    jobs = [(one, one.api.run(question(fast, f"number {number}", max_tokens=20 + number))) for number in range(5)]
    jobs += [(other, other.api.run(question(fast))), (other, other.api.run(question(failing)))]
    cancelled = one.api.submit(question(slow, max_tokens=1000))["id"]
    one.api.read_some(cancelled)
    jobs.append((one, answered(one.api.post(f"/jobs/{cancelled}/cancel"))))
    return one, other, jobs


def rows(api: Api, **params: Any) -> list[dict[str, Any]]:
    return list(answered(api.get("/usage", params=params))["usage"])


def total(found: list[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in found) for name in SUMS}


def test_one_row_of_totals(used: Any) -> None:
    one, other, jobs = used
    (row,) = rows(one.api)
    assert set(row) == set(SUMS)
    assert row["jobs"] == len(jobs)
    assert rows(other.api) == [row]


def test_each_grouping_adds_up_to_the_total(used: Any) -> None:
    one, _, _ = used
    for group in ("account", "key", "model", "day"):
        found = rows(one.api, group_by=group)
        assert all(set(row) == {group, *SUMS} for row in found)
        assert [row[group] for row in found] == sorted(row[group] for row in found)
        assert total(found) == rows(one.api)[0]


def test_by_key(used: Any) -> None:
    one, other, jobs = used
    counted = {row["key"]: row["jobs"] for row in rows(one.api, group_by="key")}
    assert counted == {key.id: sum(of is key for of, _ in jobs) for key in (one, other)}


def test_by_model_tokens_are_those_of_the_jobs_and_cost_is_in_the_catalogues_prices(
    used: Any, catalogue: Catalogue
) -> None:
    one, _, jobs = used
    found = {row["model"]: row for row in rows(one.api, group_by="model")}
    assert set(found) == {"sim:fast", "sim:failing", "sim:slow"}
    usages = [job["result"]["usage"] for _, job in jobs if job["model"] == "sim:fast"]
    row, price = found["sim:fast"], catalogue.entry("sim:fast")["price"]
    assert row["jobs"] == len(usages)
    assert row["prompt_tokens"] == sum(usage["prompt_tokens"] for usage in usages)
    assert row["completion_tokens"] == sum(usage["completion_tokens"] for usage in usages)
    assert row["cost"] == row["prompt_tokens"] * price["prompt"] + row["completion_tokens"] * price["completion"]
    assert isinstance(row["cost"], int)
    assert found["sim:failing"]["completion_tokens"] == 5  # what it delivered before it failed
    assert found["sim:failing"]["cost"] == 0
    assert found["sim:slow"]["completion_tokens"] > 0


def test_by_day(used: Any) -> None:
    one, _, jobs = used
    days = {row["day"] for row in rows(one.api, group_by="day")}
    assert days == {job["completed_at"][:10] for _, job in jobs}


def test_since_and_until(used: Any) -> None:
    one, _, jobs = used
    first = min(job["created_at"] for _, job in jobs)
    later = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    everything = rows(one.api)
    assert rows(one.api, since=first, until=later) == everything
    assert rows(one.api, since=first[:10]) == everything
    nothing = dict.fromkeys(SUMS, 0)
    assert rows(one.api, until=first) == [nothing]
    assert rows(one.api, since=later) == [nothing]
    assert rows(one.api, until=first, group_by="key") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("group_by", ""),
        ("group_by", "week"),
        ("group_by", "Key"),
        ("group_by", "key;day"),
        ("format", "xml"),
        ("since", ""),
        ("since", "yesterday"),
        ("until", ""),
        ("until", "2026-13-01"),
        ("until", "\0"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(api: Api, name: str, value: str) -> None:
    refused(api.get("/usage", params={name: value}), 400, "bad_request", name)


def test_only_the_callers_account(used: Any, new_key: KeyMaker, new_account: AccountMaker) -> None:
    stranger = new_key(account=new_account(limits=HIGH)).api
    assert rows(stranger) == [dict.fromkeys(SUMS, 0)]
    assert rows(stranger, group_by="model") == []


def test_jobs_of_v1_count_like_any_other(fast: str, new_key: KeyMaker, new_account: AccountMaker) -> None:
    api = new_key(account=new_account(limits=HIGH), limits=HIGH).api
    response = api.request("POST", "/v1/chat/completions", json=question(fast))
    usage = answered(response)["usage"]
    (row,) = rows(api)
    assert (row["jobs"], row["prompt_tokens"]) == (1, usage["prompt_tokens"])
    assert row["completion_tokens"] == usage["completion_tokens"]


def test_several_groupings_at_once(used: Any) -> None:
    one, _, jobs = used
    found = rows(one.api, group_by="day,model,key")
    assert all(set(row) == {"day", "model", "key", *SUMS} for row in found)
    names = [(row["day"], row["model"], row["key"]) for row in found]
    assert names == sorted(set(names))
    assert total(found) == rows(one.api)[0]
    counted = Counter((job["completed_at"][:10], job["model"], key.id) for key, job in jobs)
    assert {name: row["jobs"] for name, row in zip(names, found, strict=True)} == counted


def test_an_admin_adds_up_all_accounts(used: Any, admin: Api) -> None:
    one, _, _ = used
    found = {row["account"]: row for row in rows(admin, account="all", group_by="account")}
    ours = one.body["account_id"]
    assert found[ours] == {"account": ours, **rows(one.api)[0]}
    assert rows(admin, account=ours) == rows(one.api)
    assert rows(one.api, group_by="account") == [found[ours]]
    refused(one.api.get("/usage", params={"account": "all"}), 403, "forbidden", "account")


@pytest.mark.parametrize("asked", [{"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}], ids=str)
def test_as_a_table(used: Any, asked: dict[str, Any]) -> None:
    one, _, _ = used
    params = {"group_by": "model,day", **asked.get("params", {})}
    response = one.api.get("/usage", params=params, headers=asked.get("headers", {}))
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/csv")
    head, *table = csv.reader(io.StringIO(response.text))
    assert head == ["model", "day", *SUMS]
    told = rows(one.api, group_by="model,day")
    assert [line[:5] for line in table] == [[str(row[name]) for name in head[:5]] for row in told]
    assert [Decimal(line[5]) for line in table] == [Decimal(row["cost"]) / 1_000_000 for row in told]


def test_the_format_goes_before_the_header(used: Any) -> None:
    one, _, _ = used
    response = one.api.get("/usage", params={"format": "json"}, headers={"Accept": "text/csv"})
    assert answered(response)["usage"] == rows(one.api)
    table = one.api.get("/usage", params={"format": "csv", "since": "2099-01-01"}).text
    assert list(csv.reader(io.StringIO(table))) == [list(SUMS), ["0", "0", "0", "0.000000"]]
