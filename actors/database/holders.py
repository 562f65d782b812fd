"""Who holds a key, also while the database cannot say it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cluster.errors import DatabaseUnavailable
from cluster.keys import is_expired
from cluster.messages.people import Principal, SignedIn

_MOST_KEYS = 10_000


class Holders:
    """What the database said last of the keys, and of the sessions begun with them, that it was asked about.

    That stays true until something is written about keys, accounts or sessions, and whoever has this is the only one
    who writes: `forget` is to be called with every such write, before it is answered. Of at most `most_keys`.
    """

    def __init__(self, patience_s: float, most_keys: int = _MOST_KEYS) -> None:
        self._patience_s = patience_s
        self._most_keys = most_keys
        self._known: dict[SignedIn, Principal] = {}
        self._age = 0

    async def find(
        self, shown: Sequence[SignedIn], ask: Callable[[], Awaitable[list[Principal | None]]], now_ms: int
    ) -> list[Principal | None]:
        """What the database says, which `ask` asks for, or what it said last, where it takes long or cannot be asked.

        Raises what `ask` does when one of the keys is not known.
        """
        age = self._age
        asking = asyncio.ensure_future(ask())
        try:
            if self._know(shown):
                await asyncio.wait({asking}, timeout=self._patience_s)
                # Looked at again: meanwhile one of them may have been revoked.
                if self._know(shown) and (not asking.done() or _is_away(asking)):
                    return [_unless_expired(self._known[each], now_ms) for each in shown]
            principals = await asking
        finally:
            asking.cancel()
        if age == self._age:
            self._remember(shown, principals)
        return principals

    def forget(self) -> None:
        """What is known may be otherwise by now."""
        self._known.clear()
        self._age += 1

    def _know(self, shown: Sequence[SignedIn]) -> bool:
        return self._known.keys() >= set(shown)

    def _remember(self, shown: Sequence[SignedIn], principals: Sequence[Principal | None]) -> None:
        if len(self._known) + len(shown) > self._most_keys:
            self._known.clear()
        for each, principal in zip(shown, principals, strict=True):
            if principal is None:
                self._known.pop(each, None)
            else:
                self._known[each] = principal


def _is_away(asked: asyncio.Future[list[Principal | None]]) -> bool:
    return isinstance(asked.exception(), DatabaseUnavailable)


def _unless_expired(principal: Principal, now_ms: int) -> Principal | None:
    return None if is_expired(principal.expires_ms, now_ms) else principal
