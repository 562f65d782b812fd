"""Accounts as routes ask for them."""

from typing import TYPE_CHECKING

from msgspec import UNSET

from actors.wire.calls import tell
from cluster.errors import AccountNotFound
from cluster.ids import AccountId
from cluster.messages.people import Account, AccountChange

if TYPE_CHECKING:
    from actors.ledger import Ledger
    from actors.scheduler import Scheduler


class Accounts:
    """Who has keys and jobs. The Scheduler is told of weights; it asks by itself, too, after a while."""

    def __init__(self, ledger: "Ledger", scheduler: "Scheduler") -> None:
        self._ledger = ledger
        self._scheduler = scheduler

    async def create(self, account: Account) -> Account:
        created = await self._ledger.create_account(account)
        if created.weight != 1:
            self._tell_of_weights()
        return created

    async def change(self, account_id: AccountId, change: AccountChange) -> Account:
        """Raises AccountNotFound."""
        changed = await self._ledger.change_account(account_id, change)
        if change.weight is not UNSET:
            self._tell_of_weights()
        return changed

    async def get(self, account_id: AccountId) -> Account:
        """Raises AccountNotFound."""
        found = await self._ledger.account(account_id)
        if found is None:
            raise AccountNotFound("No such account")
        return found

    async def all(self) -> list[Account]:
        """All accounts, oldest first."""
        return await self._ledger.accounts()

    def _tell_of_weights(self) -> None:
        tell(self._scheduler.learn_weights(), "scheduler.learn_weights")
