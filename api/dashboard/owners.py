"""The accounts that a page may name."""

from api.replica.gateway import Gateway
from cluster.messages.people import Account, Principal


async def accounts_of(gateway: Gateway, caller: Principal) -> list[Account]:
    """All of them for an admin; a member's pages name none."""
    return await gateway.accounts.all() if caller.role == "admin" else []
