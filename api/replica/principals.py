"""Who holds a key, remembered for a moment so that not every request asks the Ledger."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from actors.wire.batcher import Batcher
from actors.wire.calls import tell
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import Unauthorized
from cluster.keys import checksum, is_expired, secret_hash
from cluster.messages.people import Principal, SignedIn
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.ledger import Ledger

_MOST_KEYS = 10_000
_DOUBTFUL_AT_ONCE = 64

Asking = Batcher[SignedIn, Principal | None]


class _Known(NamedTuple):
    """What the Ledger was asked at `asked_s`, and said."""

    principal: Principal | None
    asked_s: float


class Principals:
    """Holders of keys by the hash of the secret, and of sessions that were begun with one.

    However many come with one key, the Ledger is asked once, and however many keys come at once, it is asked about all
    of them in one call. Of at most `most_keys` it is remembered who holds them. Tokens that nobody holds are remembered
    apart, so that a flood of them costs no key its place; and those that may well be made up are asked about apart, so
    that no key waits behind them. Of one whose checksum is wrong it is known without asking.
    """

    def __init__(
        self,
        ledger: "Ledger",
        clock: Clock = SYSTEM_CLOCK,
        timing: Timing = Timing(),
        most_keys: int = _MOST_KEYS,
    ) -> None:
        self._clock = clock
        self._most_keys = most_keys
        self._remembered_s = timing.key_remembered_s
        self._renewed_s = timing.key_renewed_s
        self._asked = Asking(ledger.principals)
        self._asked_doubtful = Asking(ledger.principals, _DOUBTFUL_AT_ONCE)
        self._held: dict[SignedIn, _Known] = {}
        self._unheld: dict[SignedIn, _Known] = {}
        self._asking: dict[SignedIn, asyncio.Task[_Known]] = {}

    async def find(self, token: str) -> Principal:
        """Raises Unauthorized for every token that is not a valid key."""
        given = checksum(token)
        if given == "wrong":
            raise Unauthorized()
        key = SignedIn(secret_hash(token))
        return await self._find(key, is_doubtful=given != "right" and key not in self._held)

    async def signed_in(self, session: SignedIn) -> Principal:
        """The holder of this session's key. Raises Unauthorized when that is not valid any more, or it was ended."""
        return await self._find(session, is_doubtful=False)

    def forget(self, session: SignedIn) -> None:
        """It was ended, and this is known here from now on."""
        self._held.pop(session, None)

    async def _find(self, shown: SignedIn, is_doubtful: bool) -> Principal:
        asked = self._asked_doubtful if is_doubtful else self._asked
        known = self._held.get(shown) or self._unheld.get(shown)
        age_s = self._remembered_s if known is None else self._clock.monotonic_s() - known.asked_s
        if known is None or age_s >= self._remembered_s:
            known = await asyncio.shield(self._ask(shown, asked))
        elif age_s >= self._renewed_s and shown not in self._asking:
            tell(self._ask(shown, asked), "renewing a key")
        if known.principal is None or is_expired(known.principal.expires_ms, self._clock.wall_ms()):
            raise Unauthorized()
        return known.principal

    def _ask(self, shown: SignedIn, asked: Asking) -> asyncio.Task[_Known]:
        asking = self._asking.get(shown)
        if asking is None:
            asking = self._asking[shown] = asyncio.create_task(self._look_up(shown, asked))
        return asking

    async def _look_up(self, shown: SignedIn, asked: Asking) -> _Known:
        asked_s = self._clock.monotonic_s()
        try:
            known = _Known(await asked.add(shown), asked_s)
        finally:
            del self._asking[shown]
        kept, other = (self._unheld, self._held) if known.principal is None else (self._held, self._unheld)
        if len(kept) >= self._most_keys:
            kept.clear()
        kept[shown] = known
        other.pop(shown, None)
        return known
