"""When a key is valid, and what only an admin may ask for."""

from collections.abc import Callable

import pytest

from cluster import keys
from cluster.errors import Forbidden
from cluster.ids import AccountId, KeyId
from cluster.messages.people import KeyLimits, KeyRole, Principal

OURS, THEIRS = AccountId("acct_ours"), AccountId("acct_theirs")


def caller(role: KeyRole) -> Principal:
    return Principal(OURS, KeyId("key"), role, KeyLimits())


@pytest.mark.parametrize(
    ("expires_ms", "revoked_ms", "status"),
    [
        (None, None, "active"),
        (101, None, "active"),
        (100, None, "expired"),
        (None, 100, "revoked"),
        (101, 99, "revoked"),
        (99, 98, "revoked"),
    ],
)
def test_a_key_is_valid_until_it_expires_or_is_revoked(
    expires_ms: int | None, revoked_ms: int | None, status: str
) -> None:
    assert keys.status(expires_ms, revoked_ms, now_ms=100) == status
    assert keys.is_valid(expires_ms, revoked_ms, now_ms=100) == (status == "active")


def test_a_member_asks_for_what_is_its_accounts_and_an_admin_for_anything() -> None:
    member, admin = caller("member"), caller("admin")
    assert (keys.account_named(member, None), keys.account_named(member, OURS)) == (OURS, OURS)
    assert (keys.account_named(admin, None), keys.account_named(admin, THEIRS)) == (OURS, THEIRS)
    assert (keys.account_seen(member), keys.account_seen(admin)) == (OURS, None)
    keys.check_role(member, "member")
    keys.check_role(admin, "admin")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: keys.account_named(caller("member"), THEIRS), "account: only an admin may name another account"),
        (lambda: keys.check_role(caller("member"), "admin"), "role: only an admin may make admin keys"),
    ],
)
def test_what_only_an_admin_may_ask_for(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        ask()
    assert refusal.value.message == message
