"""Whose keys and usage a caller may ask for: its own account's; an admin, anybody's."""

from cluster.errors import Forbidden
from cluster.ids import AccountId
from cluster.messages.people import Principal


def account_named(caller: Principal, account: str | None) -> AccountId:
    """The account asked for, the caller's own if none was. Raises Forbidden."""
    if account is None or account == caller.account_id:
        return caller.account_id
    if caller.role != "admin":
        raise Forbidden("account: only an admin may name another account")
    return AccountId(account)


def accounts_seen(caller: Principal) -> AccountId | None:
    """The only account whose keys the caller sees; None for an admin, who sees all."""
    return None if caller.role == "admin" else caller.account_id
