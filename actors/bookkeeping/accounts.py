"""Accounts."""

from functools import partial

from actors.bookkeeping.book import Book
from cluster.ids import AccountId
from cluster.messages.people import Account, AccountChange
from cluster.store import accounts


class AccountBook(Book):
    """Who owns keys and jobs, and what is theirs: limits, budgets, weights."""

    async def create_account(self, account: Account) -> Account:
        """The account as it stands; repeated, nothing changes."""
        return await self._write(partial(accounts.create, account=account, now_ms=self._now_ms()))

    async def change_account(self, account_id: AccountId, change: AccountChange) -> Account:
        """The account as it stands then. May be repeated. Raises AccountNotFound."""
        changed = partial(accounts.change, account_id=account_id, asked=change, now_ms=self._now_ms())
        try:
            return await self._write(changed)
        finally:
            self._desk.holders.forget()

    async def account(self, account_id: AccountId) -> Account | None:
        """The account with this id."""
        return await self._read(partial(accounts.find, account_id=account_id, now_ms=self._now_ms()))

    async def accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        return await self._read(partial(accounts.all_of_them, now_ms=self._now_ms()))

    async def weights(self) -> dict[AccountId, int]:
        """The accounts whose share of a model is not 1, and what it is."""
        return await self._read(accounts.weights)
