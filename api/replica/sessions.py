"""Sessions of people who signed in with a key: cookies that are signed, and kept nowhere."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from itsdangerous import BadSignature, Signer, URLSafeSerializer

from cluster.clock import Clock
from cluster.errors import Unauthorized

if TYPE_CHECKING:
    from actors.ledger import Ledger

LASTS_S = 12 * 3600
"""How long a session lasts, if its key is valid for so long."""


class Session(NamedTuple):
    """Who signed in, by the hash of the key. What a page asks to be done must bring `csrf_token`."""

    key_hash: str
    csrf_token: str


class Sessions:
    """Makes and reads the cookies. All replicas sign with one secret, which outlives them in the Ledger."""

    def __init__(self, ledger: "Ledger", clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._asking = asyncio.Lock()
        self._secret: str | None = None

    async def begin(self, key_hash: str) -> str:
        """The cookie of a new session of the holder of this key."""
        until_ms = self._clock.wall_ms() + LASTS_S * 1000
        return str(_cookies(await self._known_secret()).dumps([key_hash, until_ms]))

    async def read(self, cookie: str) -> Session:
        """Raises Unauthorized for a cookie that is over, or was not made here."""
        secret = await self._known_secret()
        try:
            key_hash, until_ms = _cookies(secret).loads(cookie)
        except BadSignature:
            raise Unauthorized() from None
        if until_ms <= self._clock.wall_ms():
            raise Unauthorized()
        return Session(key_hash, Signer(secret, salt="csrf").get_signature(cookie).decode())

    async def _known_secret(self) -> str:
        async with self._asking:
            if self._secret is None:
                self._secret = await self._ledger.session_secret()
        return self._secret


def _cookies(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt="session")
