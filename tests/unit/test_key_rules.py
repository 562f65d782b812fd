"""What a key's secret is, and what a maker may give to a key."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cluster import keys
from cluster.errors import BadRequest, Forbidden
from cluster.ids import AccountId, KeyId
from cluster.messages.money import Budget, BudgetState
from cluster.messages.people import Account, KeyLimits, NewKey, Principal

OURS, THEIRS = AccountId("acct_ours"), AccountId("acct_theirs")
DEFAULT = KeyLimits(60, 1000, 600)
MONTHLY = Budget("tokens", 1000, "month")
ADMIN = Principal(THEIRS, KeyId("key_admin"), "admin", DEFAULT)
MEMBER = Principal(OURS, KeyId("key_member"), "member", DEFAULT)
ACCOUNT = Account(OURS, "ours", 0)
LIMITED = Account(OURS, "limited", 0, KeyLimits(10, 100, 50, 500), BudgetState(MONTHLY))
ASKED = NewKey(KeyId("key_new"), OURS, "laptop", "a secret", "member", 0)


BASE62 = string.digits + string.ascii_letters


def test_a_secret_is_a_prefix_and_32_characters_that_differ_each_time_and_a_checksum() -> None:
    secrets = {keys.new_secret() for _ in range(200)}
    assert len(secrets) == 200
    assert {len(secret) for secret in secrets} == {43}
    assert {secret[:5] for secret in secrets} == {"inft_"}
    # Each of 62 characters is missing from 6400 random ones with a probability of 10 to the minus 43.
    assert set("".join(secret[5:37] for secret in secrets)) == set(BASE62)
    assert {keys.checksum(secret) for secret in secrets} == {"right"}


def test_the_checksum_stays_what_it_is() -> None:
    """Keys that were given out must let their holders in for ever."""
    assert keys.checksum("inft_0123456789abcdefghijklmnopqrstuv0FCiew") == "right"


@given(st.integers(5, 42), st.sampled_from(BASE62))
def test_one_wrong_character_is_seen(place: int, character: str) -> None:
    secret = keys.new_secret()
    mistyped = secret[:place] + character + secret[place + 1 :]
    assert keys.checksum(mistyped) == ("right" if mistyped == secret else "wrong")


@pytest.mark.parametrize(
    "token",
    [
        "inft_" + "0" * 32,
        "inft_" + "0" * 40,
        "Inft_" + "0" * 38,
        "inft_" + "0" * 37 + "-",
        "inft_" + "0" * 37 + "ü",
        "inft_" + "0" * 38 + "\n",
        "",
        "my own key",
    ],
)
def test_keys_of_another_shape_have_none(token: str) -> None:
    assert keys.checksum(token) == "none"


def test_a_secret_is_stored_as_its_sha_256() -> None:
    assert keys.secret_hash("inft_ü") == hashlib.sha256("inft_ü".encode()).hexdigest()


def test_never_more_than_a_quarter_of_a_secret_is_shown() -> None:
    assert keys.visible_prefix("inft_0123456789abcdefghijklmnopqrstuv") == "inft_0123"
    assert keys.visible_prefix("12345678") == "12"
    assert keys.visible_prefix("123") == ""


def refused(error: type[Exception], message: str, maker: Principal, asked: NewKey, account: Account | None) -> None:
    with pytest.raises(error) as refusal:
        keys.granted(maker, asked, account, DEFAULT)
    assert str(refusal.value) == message


def test_only_an_admin_makes_keys_of_others_and_admin_keys() -> None:
    elsewhere = replace(ASKED, account_id=THEIRS)
    admin_key = replace(ASKED, role="admin")
    refused(Forbidden, "account: only an admin may name another account", MEMBER, elsewhere, ACCOUNT)
    refused(Forbidden, "role: only an admin may make admin keys", MEMBER, admin_key, ACCOUNT)
    assert keys.granted(ADMIN, admin_key, ACCOUNT, DEFAULT) is admin_key


def test_an_admin_makes_keys_beyond_what_the_account_has() -> None:
    generous = replace(ASKED, limits=KeyLimits(10_000), budget=Budget("tokens", 10_000, "month"))
    assert keys.granted(ADMIN, generous, LIMITED, DEFAULT) is generous


def test_an_account_that_is_not_there_gets_no_key() -> None:
    message = "account: there is no account acct_ours"
    refused(BadRequest, message, ADMIN, ASKED, None)
    refused(BadRequest, message, MEMBER, ASKED, None)


@pytest.mark.parametrize("field", KeyLimits.__struct_fields__)
def test_a_member_gives_each_limit_up_to_what_the_account_has(field: str) -> None:
    most = {"submissions_per_minute": 10, "submissions_per_hour": 100, "reads_per_minute": 50, "tokens_per_minute": 500}
    lowest = KeyLimits(1, 1, 1, 1)
    at_most = replace(ASKED, limits=replace(lowest, **{field: most[field]}))  # type: ignore[arg-type]
    assert keys.granted(MEMBER, at_most, LIMITED, DEFAULT) == at_most
    beyond = replace(ASKED, limits=replace(lowest, **{field: most[field] + 1}))  # type: ignore[arg-type]
    refused(BadRequest, f"limits.{field}: at most {most[field]}, as the account has", MEMBER, beyond, LIMITED)


def test_without_a_limit_of_tokens_a_members_key_has_the_accounts() -> None:
    granted = keys.granted(MEMBER, replace(ASKED, limits=KeyLimits(1, 1, 1)), LIMITED, DEFAULT)
    assert granted.limits == KeyLimits(1, 1, 1, 500)


def test_an_account_without_limits_has_the_default_ones() -> None:
    unlimited_tokens = replace(ASKED, limits=KeyLimits(60, 1000, 600, 10**9))
    assert keys.granted(MEMBER, unlimited_tokens, ACCOUNT, DEFAULT) == unlimited_tokens
    beyond = replace(ASKED, limits=KeyLimits(61, 1000, 600))
    refused(BadRequest, "limits.submissions_per_minute: at most 60, as the account has", MEMBER, beyond, ACCOUNT)


def test_a_key_that_asks_for_no_limits_gets_none_of_its_own() -> None:
    assert keys.granted(MEMBER, ASKED, LIMITED, DEFAULT) == ASKED


def test_a_member_gives_no_more_budget_than_the_account_has_of_the_same_kind() -> None:
    message = "budget.amount: at most 1000, as the account has"
    refused(BadRequest, message, MEMBER, replace(ASKED, budget=Budget("tokens", 1001, "month")), LIMITED)
    for budget in (MONTHLY, Budget("money", 1001, "month"), Budget("tokens", 1001, "all")):
        asked = replace(ASKED, budget=budget)
        assert keys.granted(MEMBER, asked, LIMITED, DEFAULT) == asked
    unbounded = replace(ASKED, budget=Budget("tokens", 1001, "month"))
    assert keys.granted(MEMBER, unbounded, ACCOUNT, DEFAULT) == unbounded


def test_a_member_gives_no_more_models_than_its_own_key_has() -> None:
    maker = replace(MEMBER, models=("a", "b"))
    asked = replace(ASKED, models=("a", "c", "d"), limits=KeyLimits(1))
    refused(BadRequest, "models: this key may not use c, d itself", maker, asked, ACCOUNT)
    assert keys.granted(maker, replace(asked, models=("b",)), ACCOUNT, DEFAULT).models == ("b",)
    assert keys.granted(maker, replace(asked, models=()), ACCOUNT, DEFAULT).models == ("a", "b")
    assert keys.granted(maker, ASKED, ACCOUNT, DEFAULT).models == ("a", "b")
    assert keys.granted(MEMBER, asked, ACCOUNT, DEFAULT).models == asked.models


@pytest.mark.parametrize(
    ("expires_ms", "revoked_ms", "now_ms", "status"),
    [
        (None, None, 10, "active"),
        (11, None, 10, "active"),
        (10, None, 10, "expired"),
        (9, None, 10, "expired"),
        (0, None, 10, "expired"),
        (None, 10, 10, "revoked"),
        (None, 0, 10, "revoked"),
        (9, 5, 10, "revoked"),
        (11, 5, 10, "revoked"),
    ],
)
def test_what_a_key_is_and_whether_it_is_valid(
    expires_ms: int | None, revoked_ms: int | None, now_ms: int, status: str
) -> None:
    assert keys.status(expires_ms, revoked_ms, now_ms) == status
    assert keys.is_valid(expires_ms, revoked_ms, now_ms) == (status == "active")
    assert keys.is_expired(expires_ms, now_ms) == (expires_ms is not None and expires_ms <= now_ms)


def test_whose_account_a_caller_asks_about() -> None:
    assert keys.account_named(MEMBER, None) == keys.account_named(MEMBER, OURS) == OURS
    assert keys.account_named(ADMIN, None) == THEIRS
    assert keys.account_named(ADMIN, OURS) == OURS
    with pytest.raises(Forbidden):
        keys.account_named(MEMBER, THEIRS)


def test_a_member_sees_its_accounts_keys_and_an_admin_all() -> None:
    assert keys.account_seen(MEMBER) == OURS
    assert keys.account_seen(ADMIN) is None
