"""Keys over HTTP: made once, listed without their secret, confined, limited and revoked."""

from typing import Any

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import TIME, Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question

ALWAYS = {"id", "account_id", "name", "prefix", "role", "created_at", "limits", "status"}
SOMETIMES = {"expires_at", "revoked_at", "last_used_at", "budget", "models"}
LIMITS = {"submissions_per_minute": 50, "submissions_per_hour": 500, "reads_per_minute": 5000}


def listed(api: Api, key_id: str) -> dict[str, Any]:
    (key,) = [key for key in answered(api.get("/keys"))["keys"] if key["id"] == key_id]
    return dict(key)


def test_the_secret_appears_only_when_it_is_made(api: Api) -> None:
    made = answered(api.post("/keys", {"name": "a key"}), 201)
    assert set(made) >= ALWAYS | {"key"}
    assert set(made) <= ALWAYS | SOMETIMES | {"key"}
    assert (made["name"], made["role"], made["status"]) == ("a key", "member", "active")
    assert made["key"].startswith(made["prefix"])
    assert 0 < len(made["prefix"]) <= len(made["key"]) - 24
    assert TIME.fullmatch(made["created_at"])
    assert listed(api, made["id"]) == {name: value for name, value in made.items() if name != "key"}
    response = api.get("/keys")
    assert made["key"] not in response.text
    assert api.delete(f"/keys/{made['id']}").status_code == 204


def test_its_last_use_is_told(api: Api, new_key: KeyMaker) -> None:
    key = new_key()
    assert "last_used_at" not in listed(api, key.id)
    answered(key.api.get("/models"))
    assert TIME.fullmatch(listed(api, key.id)["last_used_at"])


def test_a_revoked_key_stays_in_the_list(api: Api, new_key: KeyMaker) -> None:
    key = new_key()
    response = api.delete(f"/keys/{key.id}")
    assert (response.status_code, response.content) == (204, b"")
    revoked = listed(api, key.id)
    assert revoked["status"] == "revoked"
    assert TIME.fullmatch(revoked["revoked_at"])
    assert api.delete(f"/keys/{key.id}").status_code == 204


@pytest.mark.parametrize("key_id", ["key_0000000000000000", "x", "%F0%9F%8C%8D"])
def test_an_unknown_key(api: Api, admin: Api, key_id: str) -> None:
    for caller in (api, admin):
        refused(caller.delete(f"/keys/{key_id}"), 404, "key_not_found")


def test_a_member_has_only_its_accounts_keys(
    api: Api, admin: Api, account: str, new_key: KeyMaker, new_account: AccountMaker
) -> None:
    strangers = new_key(account=new_account(limits=HIGH))
    keys = answered(api.get("/keys"))["keys"]
    assert {key["account_id"] for key in keys} == {account}
    refused(api.delete(f"/keys/{strangers.id}"), 404, "key_not_found")
    answered(strangers.api.get("/models"))
    assert listed(admin, strangers.id)["id"] == strangers.id


def test_a_member_makes_keys_for_its_own_account_alone(api: Api, account: str, new_account: AccountMaker) -> None:
    made = answered(api.post("/keys", {"name": "ours"}), 201)
    assert made["account_id"] == account
    refused(api.post("/keys", {"name": "theirs", "account": new_account()}), 403, "forbidden")
    refused(api.post("/keys", {"name": "mighty", "role": "admin"}), 403, "forbidden")


def test_an_admin_names_another_account(admin: Api, new_account: AccountMaker) -> None:
    account = new_account()
    assert answered(admin.post("/keys", {"name": "theirs", "account": account}), 201)["account_id"] == account
    refused(admin.post("/keys", {"name": "nobodys", "account": "acc_0000000000000000"}), 400, "bad_request", "account")


@pytest.mark.parametrize("limit", LIMITS)
def test_a_member_gives_no_more_than_its_accounts_limits(
    new_key: KeyMaker, new_account: AccountMaker, limit: str
) -> None:
    api = new_key(account=new_account(limits=LIMITS)).api
    body = {"name": "more", "limits": {**LIMITS, limit: LIMITS[limit] + 1}}
    refused(api.post("/keys", body), 400, "bad_request", f"limits.{limit}")
    made = answered(api.post("/keys", {"name": "as much", "limits": LIMITS}), 201)
    assert made["limits"].items() >= LIMITS.items()


def test_a_member_gives_no_more_than_its_accounts_budget(new_key: KeyMaker, new_account: AccountMaker) -> None:
    budget = {"unit": "tokens", "amount": 1000, "period": "all"}
    api = new_key(account=new_account(limits=LIMITS, budget=budget)).api
    refused(api.post("/keys", {"name": "more", "budget": {**budget, "amount": 1001}}), 400, "bad_request", "budget")
    made = answered(api.post("/keys", {"name": "as much", "budget": budget}), 201)
    assert made["budget"] == {**budget, "spent": 0, "reserved": 0}


def test_a_key_without_limits_has_its_accounts(new_key: KeyMaker, new_account: AccountMaker) -> None:
    key = new_key(account=new_account(limits=LIMITS))
    assert key.body["limits"].items() >= LIMITS.items()
    assert key.api.get("/models").headers["X-RateLimit-Limit"] == "5000"


def test_a_confined_key(fast: str, slow: str, new_key: KeyMaker) -> None:
    key = new_key(limits=HIGH, models=["sim:latest"])
    assert key.body["models"] == [fast]  # named by its alias
    assert key.api.run(question(fast))["status"] == "completed"
    refused(key.api.post("/jobs", question(slow)), 403, "forbidden", "model")
    refused(key.api.post("/jobs", question("unheard:of")), 404, "model_not_found")
    told = key.api.request("POST", "/v1/chat/completions", json=question(slow))
    refused(told, 403, "forbidden")


BAD: list[dict[str, Any]] = [
    {},
    {"name": None},
    {"name": ""},
    {"name": 1},
    {"name": "a\0b"},
    {"name": "x" * 129},
    *[{"name": "x", "expires_at": bad} for bad in (1, "", "tomorrow", "2020-01-01", "2020-01-01T00:00:00Z", [])],
    *[{"name": "x", "limits": bad} for bad in (1, [], "x")],
    *[
        {"name": "x", "limits": {limit: bad}}
        for limit in (*LIMITS, "tokens_per_minute")
        for bad in (0, -1, 1.0, "1", True, 2**63)
    ],
    *[{"name": "x", "budget": bad} for bad in (1, [], {}, {"unit": "tokens"}, {"unit": "tokens", "amount": 1})],
    *[
        {"name": "x", "budget": {"unit": "tokens", "amount": bad, "period": "all"}}
        for bad in (-1, 1.5, "1", True, 2**63)
    ],
    {"name": "x", "budget": {"unit": "euros", "amount": 1, "period": "all"}},
    {"name": "x", "budget": {"unit": "tokens", "amount": 1, "period": "week"}},
    *[{"name": "x", "models": bad} for bad in (1, "sim:fast", [1], [""], {})],
    {"name": "x", "role": "owner"},
    {"name": "x", "account": 1},
]


@pytest.mark.parametrize("body", BAD, ids=str)
def test_a_field_that_is_wrong_is_named(admin: Api, body: dict[str, Any]) -> None:
    field = next((name for name in body if name != "name"), "name")
    message = refused(admin.post("/keys", body), 400, "bad_request", field)
    assert message.startswith(field)


def test_an_unknown_model(api: Api) -> None:
    refused(api.post("/keys", {"name": "x", "models": ["unheard:of"]}), 404, "model_not_found")


@pytest.mark.parametrize("expires_at", ["2099-01-01T00:00:00Z", "2099-01-01", "2099-01-01T02:00:00+02:00", None])
def test_expiry(api: Api, expires_at: str | None) -> None:
    made = answered(api.post("/keys", {"name": "x", "expires_at": expires_at}), 201)
    if expires_at is None:
        assert "expires_at" not in made
    else:
        assert made["expires_at"] == "2099-01-01T00:00:00Z"


def test_every_body_holds_no_null(api: Api, catalogue: Catalogue) -> None:
    assert all(None not in key.values() for key in answered(api.get("/keys"))["keys"])
