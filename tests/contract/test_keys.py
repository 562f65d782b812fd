"""Keys over HTTP: made once, listed without their secret, confined, limited and revoked."""

import time
from concurrent.futures import ThreadPoolExecutor
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


BUDGET = {"unit": "tokens", "amount": 1000, "period": "all"}


@pytest.fixture
def given_key(new_key: KeyMaker, fast: str) -> dict[str, Any]:
    made = new_key(limits=LIMITS, budget=BUDGET, models=[fast], expires_at="2098-01-01").body
    return {name: value for name, value in made.items() if name != "key"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, {}),
        ({"name": "after"}, {"name": "after"}),
        ({"expires_at": "2099-01-01"}, {"expires_at": "2099-01-01T00:00:00Z"}),
        ({"expires_at": None}, {"expires_at": None}),
        ({"models": ["sim:slow", "sim:latest"]}, {"models": ["sim:slow", "sim:fast"]}),
        ({"models": None}, {"models": None}),
        ({"budget": None}, {"budget": None}),
        ({"budget": BUDGET | {"amount": 7}}, {"budget": BUDGET | {"amount": 7, "spent": 0, "reserved": 0}}),
        ({"budget": BUDGET | {"unit": "money"}}, {"budget": BUDGET | {"unit": "money", "spent": 0, "reserved": 0}}),
        (
            {"limits": LIMITS | {"tokens_per_minute": 7}, "name": "both"},
            {"limits": LIMITS | {"tokens_per_minute": 7}, "name": "both"},
        ),
    ],
    ids=str,
)
@pytest.mark.usefixtures("slow")
def test_a_change_is_of_what_is_given(
    api: Api, given_key: dict[str, Any], change: dict[str, Any], told: dict[str, Any]
) -> None:
    changed = answered(api.patch(f"/keys/{given_key['id']}", change))
    assert changed == {name: value for name, value in (given_key | told).items() if value is not None}
    assert answered(api.get(f"/keys/{given_key['id']}")) == changed == listed(api, given_key["id"])
    assert answered(api.patch(f"/keys/{given_key['id']}", change)) == changed


def test_of_changed_limits_what_is_left_out_is_the_accounts(
    admin: Api, new_key: KeyMaker, new_account: AccountMaker
) -> None:
    key = new_key(account=new_account(limits=LIMITS), limits={"submissions_per_minute": 7, "reads_per_minute": 7})
    changed = answered(admin.patch(f"/keys/{key.id}", {"limits": {"reads_per_minute": 9}}))
    assert changed["limits"].items() >= (LIMITS | {"reads_per_minute": 9}).items()
    assert answered(admin.patch(f"/keys/{key.id}", {"limits": None}))["limits"].items() >= LIMITS.items()


@pytest.mark.parametrize(
    "body", [{"name": None}, *(body for body in BAD[2:] if not {"role", "account"} & body.keys())], ids=str
)
def test_a_change_that_is_wrong_is_named_and_changes_nothing(
    admin: Api, given_key: dict[str, Any], body: dict[str, Any]
) -> None:
    field = next((name for name in body if name != "name"), "name")
    message = refused(admin.patch(f"/keys/{given_key['id']}", {"name": "after"} | body), 400, "bad_request", field)
    assert message.startswith(field)
    assert answered(admin.get(f"/keys/{given_key['id']}")) == given_key


@pytest.mark.parametrize("body", [{"role": "admin"}, {"account": "acct_0"}, {"expire_at": "2099-01-01"}], ids=str)
def test_what_a_key_is_for_ever_and_what_is_misspelt_is_no_change(
    admin: Api, given_key: dict[str, Any], body: dict[str, Any]
) -> None:
    refused(admin.patch(f"/keys/{given_key['id']}", body), 400, "bad_request", f"{next(iter(body))}: unknown field")


def test_a_member_changes_its_accounts_keys_and_gives_no_more_than_it_has(
    admin: Api, new_key: KeyMaker, new_account: AccountMaker, fast: str, slow: str
) -> None:
    account = new_account(limits=LIMITS, budget=BUDGET)
    api, key = new_key(account=account).api, new_key(account=account)
    path = f"/keys/{key.id}"
    for limit, most in LIMITS.items():
        refused(api.patch(path, {"limits": {**LIMITS, limit: most + 1}}), 400, "bad_request", f"limits.{limit}")
    refused(api.patch(path, {"budget": {**BUDGET, "amount": 1001}}), 400, "bad_request", "budget.amount")
    assert answered(api.patch(path, {"limits": LIMITS, "budget": BUDGET}))["budget"]["amount"] == 1000
    confined = new_key(account=account, models=[fast]).api
    refused(confined.patch(path, {"models": [slow]}), 400, "bad_request", "models")
    assert answered(confined.patch(path, {"models": None}))["models"] == [fast]
    more = {"limits": {"reads_per_minute": 6000}, "budget": BUDGET | {"amount": 2000}}
    assert answered(admin.patch(path, more))["limits"]["reads_per_minute"] == 6000


def test_a_member_changes_no_admin_key_and_none_of_others(
    api: Api, admin: Api, new_key: KeyMaker, new_account: AccountMaker
) -> None:
    refused(api.patch(f"/keys/{new_key(role='admin').id}", {"name": "mine"}), 403, "forbidden")
    theirs = new_key(account=new_account())
    for answer in (api.get(f"/keys/{theirs.id}"), api.patch(f"/keys/{theirs.id}", {"name": "mine"})):
        refused(answer, 404, "key_not_found")
    assert answered(admin.get(f"/keys/{theirs.id}"))["name"] == "contract test"


@pytest.mark.parametrize("key_id", ["key_0000000000000000", "x", "%00"])
def test_a_key_that_is_not_there_is_neither_told_nor_changed(api: Api, admin: Api, key_id: str) -> None:
    for caller in (api, admin):
        refused(caller.get(f"/keys/{key_id}"), 404, "key_not_found")
        refused(caller.patch(f"/keys/{key_id}", {"name": "x"}), 404, "key_not_found")


def test_a_revoked_key_is_not_changed(api: Api, new_key: KeyMaker) -> None:
    key = new_key()
    assert api.delete(f"/keys/{key.id}").status_code == 204
    refused(api.patch(f"/keys/{key.id}", {"expires_at": None}), 409, "conflict")
    assert answered(api.get(f"/keys/{key.id}"))["status"] == "revoked"


def test_a_change_holds_on_every_replica_within_5_s(admin: Api, new_key: KeyMaker) -> None:
    key = new_key(limits=HIGH)

    def told(_: int) -> str:
        # Each on a connection of its own, so that every replica answers some.
        with key.api.another() as another:
            return another.get("/models").headers["X-RateLimit-Limit"]

    def limits() -> set[str]:
        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(told, range(16)))

    assert limits() == {"100000"}
    answered(admin.patch(f"/keys/{key.id}", {"limits": HIGH | {"reads_per_minute": 90_000}}))
    changed_s = time.monotonic()
    while limits() != {"90000"}:
        assert time.monotonic() - changed_s < 5
    assert limits() == {"90000"}
