"""Who holds a key, remembered for a moment so that not every request asks the Ledger."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from actors.wire.calls import tell
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import Unauthorized
from cluster.keys import is_expired, secret_hash
from cluster.messages.people import Principal

if TYPE_CHECKING:
    from actors.ledger import Ledger

# A revoked key must be refused within 5 s on every replica.
REMEMBER_S = 4.0
# A key that is used after this is asked for again meanwhile, so that busy keys never wait for it.
RENEW_S = 2.0
_MOST = 10_000


class _Known(NamedTuple):
    """What the Ledger was asked at `asked_s`, and said."""

    principal: Principal | None
    asked_s: float


class Principals:
    """Keys by their hash; unknown ones are remembered too. However many come with a key, the Ledger is asked once."""

    def __init__(self, ledger: "Ledger", clock: Clock = SYSTEM_CLOCK) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[_Known]] = {}

    async def find(self, token: str) -> Principal:
        """Raises Unauthorized for every token that is not a valid key."""
        key_hash = secret_hash(token)
        known = self._known.get(key_hash)
        age_s = REMEMBER_S if known is None else self._clock.monotonic_s() - known.asked_s
        if known is None or age_s >= REMEMBER_S:
            known = await asyncio.shield(self._ask(key_hash))
        elif age_s >= RENEW_S and key_hash not in self._asking:
            tell(self._ask(key_hash), "renewing a key")
        if known.principal is None or is_expired(known.principal.expires_ms, self._clock.wall_ms()):
            raise Unauthorized()
        return known.principal

    def _ask(self, key_hash: str) -> asyncio.Task[_Known]:
        asking = self._asking.get(key_hash)
        if asking is None:
            asking = self._asking[key_hash] = asyncio.create_task(self._look_up(key_hash))
        return asking

    async def _look_up(self, key_hash: str) -> _Known:
        asked_s = self._clock.monotonic_s()
        try:
            known = _Known(await self._ledger.authenticate(key_hash), asked_s)
        finally:
            del self._asking[key_hash]
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key_hash] = known
        return known
