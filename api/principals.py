"""Who holds a key, remembered for a moment so that not every request asks the Ledger."""

from typing import TYPE_CHECKING

from cluster.clock import monotonic_s, wall_ms
from cluster.errors import Unauthorized
from cluster.keys import secret_hash
from cluster.messages import Principal

if TYPE_CHECKING:
    from actors.ledger import Ledger

# A revoked key must be refused within 5 s on every replica.
REMEMBER_S = 4.0
_MOST = 10_000


class Principals:
    """Keys by their hash; unknown ones are remembered too."""

    def __init__(self, ledger: "Ledger") -> None:
        self._ledger = ledger
        self._known: dict[str, tuple[Principal | None, float]] = {}

    async def find(self, token: str) -> Principal:
        """Raises Unauthorized for every token that is not a valid key."""
        key_hash = secret_hash(token)
        principal, until_s = self._known.get(key_hash, (None, 0.0))
        if monotonic_s() >= until_s:
            principal = await self._ledger.authenticate(key_hash)
            self._remember(key_hash, principal)
        if principal is None or _is_over(principal):
            raise Unauthorized()
        return principal

    def _remember(self, key_hash: str, principal: Principal | None) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key_hash] = (principal, monotonic_s() + REMEMBER_S)


def _is_over(principal: Principal) -> bool:
    return principal.expires_ms is not None and principal.expires_ms <= wall_ms()
