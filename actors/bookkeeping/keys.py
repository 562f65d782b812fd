"""API keys, and whose they are."""

import logging
from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from actors.bookkeeping.book import Book
from actors.bookkeeping.desk import Desk
from actors.wire.every import Every
from cluster.errors import DatabaseFailed
from cluster.ids import AccountId, KeyId
from cluster.messages.people import Key, KeyChange, NewKey, Principal, SignedIn
from cluster.store import keys, sessions

logger = logging.getLogger(__name__)


class KeyBook(Book):
    """Keys, who holds them, and when they were used last."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        # Those since the last time are lost with the process.
        self._uses: dict[KeyId, int] = {}
        desk.database.repeat(Every(desk.timing.key_uses_s, self.write_uses, "writing when keys were used last"))

    async def principals(self, shown: Sequence[SignedIn]) -> list[Principal | None]:
        """The holders of these keys, and of these sessions' keys.

        None for each key that is unknown, revoked or expired, and for each session that was ended.
        """
        now_ms = self._now_ms()
        find = partial(sessions.principals, shown=shown, now_ms=now_ms, default=self._desk.limits)
        principals = await self._desk.holders.find(shown, lambda: self._read(find), now_ms)
        self._uses |= {principal.key_id: now_ms for principal in principals if principal is not None}
        return principals

    async def authenticate(self, key_hash: str) -> Principal | None:
        """The holder of the key with this hash; None if it is unknown, revoked or expired."""
        return (await self.principals([SignedIn(key_hash)]))[0]

    async def create_key(self, maker: Principal, key: NewKey) -> Key:
        """The key as it stands; repeated, nothing changes.

        Raises Forbidden or BadRequest for what `maker` may not give away, and for an account that does not exist.
        """
        default, now_ms = self._desk.limits, self._now_ms()
        return await self._write(partial(keys.create, maker=maker, asked=key, default=default, now_ms=now_ms))

    async def change_key(self, changer: Principal, key_id: KeyId, change: KeyChange) -> Key:
        """The key as it stands then. May be repeated.

        Raises KeyNotFound for a key that the changer does not see, Conflict for a revoked one and for the admin key
        that is valid longest, and Forbidden or BadRequest for what the changer may not give away.
        """
        default, now_ms = self._desk.limits, self._now_ms()
        changed = partial(keys.change, changer=changer, key_id=key_id, asked=change, default=default, now_ms=now_ms)
        try:
            return self._with_last_use(await self._write(changed))
        finally:
            self._desk.holders.forget()

    async def key(self, key_id: KeyId) -> Key | None:
        """The key with this id."""
        default, now_ms = self._desk.limits, self._now_ms()
        found = await self._read(partial(keys.find, key_id=key_id, default=default, now_ms=now_ms))
        return None if found is None else self._with_last_use(found)

    async def keys(self, account_id: AccountId | None) -> list[Key]:
        """The account's keys, or everybody's, oldest first; revoked and expired ones too."""
        default, now_ms = self._desk.limits, self._now_ms()
        found = await self._read(partial(keys.of_account, account_id=account_id, default=default, now_ms=now_ms))
        return [self._with_last_use(key) for key in found]

    async def revoke_key(self, key_id: KeyId, account_id: AccountId | None) -> None:
        """The key is not valid any more. May be repeated.

        Raises KeyNotFound (for another account's key too, unless `account_id` is None), and Conflict for the last
        valid admin key.
        """
        try:
            await self._write(partial(keys.revoke, key_id=key_id, account_id=account_id, now_ms=self._now_ms()))
        finally:
            # Also when it failed: it may have been written.
            self._desk.holders.forget()

    async def write_uses(self) -> None:
        """Records when keys were used last. What cannot be written now is kept for the next time."""
        if not self._uses:
            return
        uses = dict(self._uses)
        try:
            await self._write(partial(keys.used, uses=uses))
        except DatabaseFailed as error:
            logger.warning("when keys were used last was not written, and will be with the next uses: %s", error)
            return
        # A key that was used meanwhile stays for the next time.
        self._uses = {key_id: at_ms for key_id, at_ms in self._uses.items() if at_ms != uses.get(key_id)}

    def _with_last_use(self, key: Key) -> Key:
        at_ms = self._uses.get(key.id)
        return key if at_ms is None else replace(key, last_used_ms=max(at_ms, key.last_used_ms or 0))
