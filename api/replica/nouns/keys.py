"""Keys as routes ask for them: with an account, only that one's; without, everybody's, for an admin."""

from typing import TYPE_CHECKING

from cluster.errors import KeyNotFound
from cluster.ids import AccountId, KeyId
from cluster.messages.people import Key, KeyChange, NewKey, Principal

if TYPE_CHECKING:
    from actors.ledger import Ledger


class Keys:
    """API keys: made, changed and revoked."""

    def __init__(self, ledger: "Ledger") -> None:
        self._ledger = ledger

    async def create(self, maker: Principal, key: NewKey) -> Key:
        """Raises BadRequest for what `maker` may not give away, or an account that does not exist."""
        return await self._ledger.create_key(maker, key)

    async def change(self, changer: Principal, key_id: KeyId, change: KeyChange) -> Key:
        """The key as it stands then.

        Raises KeyNotFound for a key that `changer` does not see, Conflict for a revoked one and for the admin key that
        is valid longest, and Forbidden or BadRequest for what `changer` may not give away.
        """
        return await self._ledger.change_key(changer, key_id, change)

    async def get(self, key_id: KeyId, account_id: AccountId | None) -> Key:
        """Raises KeyNotFound, for another account's too."""
        found = await self._ledger.key(key_id)
        if found is None or account_id not in (None, found.account_id):
            raise KeyNotFound("No such key")
        return found

    async def of(self, account_id: AccountId | None) -> list[Key]:
        """The account's keys, or everybody's, oldest first; revoked and expired ones too."""
        return await self._ledger.keys(account_id)

    async def revoke(self, key_id: KeyId, account_id: AccountId | None) -> None:
        """Raises KeyNotFound, and Conflict for the last admin key."""
        await self._ledger.revoke_key(key_id, account_id)
