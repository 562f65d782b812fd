"""Accounts: an admin makes and lists them."""

from typing import Any

import pytest

from tests.contract.client import TIME, Api, answered, refused
from tests.contract.given import KeyMaker

LIMITS = {"submissions_per_minute": 7, "submissions_per_hour": 70, "reads_per_minute": 700}


def test_an_account(admin: Api) -> None:
    budget = {"unit": "money", "amount": 5_000_000, "period": "month"}
    asked = {"name": "a department", "limits": LIMITS, "budget": budget, "weight": 3, "max_queued": 50}
    made = answered(admin.post("/accounts", asked), 201)
    assert set(made) == {"id", "name", "created_at", "limits", "budget", "weight", "max_queued"}
    assert (made["name"], made["weight"], made["max_queued"]) == ("a department", 3, 50)
    assert TIME.fullmatch(made["created_at"])
    assert made["limits"].items() >= LIMITS.items()
    assert made["budget"] == {**budget, "spent": 0, "reserved": 0}
    assert made in answered(admin.get("/accounts"))["accounts"]


def test_what_was_not_given_is_absent(admin: Api) -> None:
    made = answered(admin.post("/accounts", {"name": "plain", "limits": None}), 201)
    assert set(made) == {"id", "name", "created_at", "weight"}
    assert made["weight"] == 1


def test_the_account_of_every_key_is_listed(admin: Api, new_key: KeyMaker) -> None:
    ids = {account["id"] for account in answered(admin.get("/accounts"))["accounts"]}
    assert new_key().body["account_id"] in ids


BAD: list[dict[str, Any]] = [
    {},
    {"name": None},
    {"name": ""},
    {"name": 1},
    {"name": "a\0b"},
    {"name": "x", "weight": 0},
    {"name": "x", "weight": 1001},
    {"name": "x", "weight": "2"},
    {"name": "x", "max_queued": 0},
    {"name": "x", "max_queued": "2"},
    {"name": "x", "limits": 1},
    {"name": "x", "limits": {"submissions_per_minute": 0}},
    {"name": "x", "budget": {"unit": "euros", "amount": 1, "period": "all"}},
]


@pytest.mark.parametrize("body", BAD, ids=str)
def test_a_field_that_is_wrong_is_named(admin: Api, body: dict[str, Any]) -> None:
    field = next((name for name in body if name != "name"), "name")
    refused(admin.post("/accounts", body), 400, "bad_request", field)


@pytest.fixture
def given_account(admin: Api) -> dict[str, Any]:
    budget = {"unit": "tokens", "amount": 100, "period": "all"}
    asked = {"name": "before", "limits": LIMITS, "budget": budget, "weight": 3, "max_queued": 50}
    made: dict[str, Any] = answered(admin.post("/accounts", asked), 201)
    return made


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, {}),
        ({"name": "after"}, {"name": "after"}),
        ({"weight": 7, "max_queued": 5}, {"weight": 7, "max_queued": 5}),
        ({"weight": None}, {"weight": 1}),
        ({"max_queued": None}, {"max_queued": None}),
        ({"limits": None}, {"limits": None}),
        ({"budget": None}, {"budget": None}),
        (
            {"budget": {"unit": "tokens", "amount": 7, "period": "all"}},
            {"budget": {"unit": "tokens", "amount": 7, "period": "all", "spent": 0, "reserved": 0}},
        ),
        (
            {"budget": {"unit": "money", "amount": 7, "period": "month"}},
            {"budget": {"unit": "money", "amount": 7, "period": "month", "spent": 0, "reserved": 0}},
        ),
    ],
    ids=str,
)
def test_a_change_is_of_what_is_given(
    admin: Api, given_account: dict[str, Any], change: dict[str, Any], told: dict[str, Any]
) -> None:
    changed = answered(admin.patch(f"/accounts/{given_account['id']}", change))
    assert changed == {name: value for name, value in (given_account | told).items() if value is not None}
    assert changed in answered(admin.get("/accounts"))["accounts"]
    assert answered(admin.patch(f"/accounts/{given_account['id']}", change)) == changed


def test_of_changed_limits_what_is_left_out_is_the_default(admin: Api, given_account: dict[str, Any]) -> None:
    limits = answered(admin.patch(f"/accounts/{given_account['id']}", {"limits": {"reads_per_minute": 9}}))["limits"]
    assert limits["reads_per_minute"] == 9
    assert limits["submissions_per_minute"] != LIMITS["submissions_per_minute"]


@pytest.mark.parametrize("body", [{"name": None}, *BAD[2:]], ids=str)
def test_a_change_that_is_wrong_is_named_and_changes_nothing(
    admin: Api, given_account: dict[str, Any], body: dict[str, Any]
) -> None:
    field = next((name for name in body if name != "name"), "name")
    refused(admin.patch(f"/accounts/{given_account['id']}", {"weight": 9} | body), 400, "bad_request", field)
    assert given_account in answered(admin.get("/accounts"))["accounts"]


@pytest.mark.parametrize("account_id", ["acct_0", "%00", "x" * 300])
def test_an_account_that_is_not_there_is_not_changed(admin: Api, account_id: str) -> None:
    refused(admin.patch(f"/accounts/{account_id}", {"weight": 2}), 404, "account_not_found")


def test_an_account_is_told_to_admins_and_to_its_own(
    admin: Api, given_account: dict[str, Any], new_key: KeyMaker
) -> None:
    assert answered(admin.get(f"/accounts/{given_account['id']}")) == given_account
    assert answered(new_key(account=given_account["id"]).api.get(f"/accounts/{given_account['id']}")) == given_account
    refused(new_key().api.get(f"/accounts/{given_account['id']}"), 403, "forbidden", "account")
    refused(admin.get("/accounts/acct_0"), 404, "account_not_found")
