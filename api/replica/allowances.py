"""Requests let through by the RateLimiter, and, of keys with large limits, by this replica itself."""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from actors.wire.batcher import Batcher
from cluster.clock import monotonic_s
from cluster.ids import KeyId
from cluster.limits.windows import Bucket, Decision, Take
from cluster.messages.people import Principal

if TYPE_CHECKING:
    from actors.rate_limiter import RateLimiter

_MOST = 10_000


class _Spare:
    """Takes of a key that were charged ahead: how many are left, until when, and what the last one was told."""

    def __init__(self, decision: Decision, asked_s: float) -> None:
        self.left = decision.spare
        # Counted from before the question: the RateLimiter's window cannot end earlier.
        self.until_s = asked_s + decision.spare_ms / 1000
        self._last = replace(decision, spare=0, spare_ms=0)

    def is_good(self, now_s: float) -> bool:
        return self.left > 0 and now_s < self.until_s

    def join(self, other: "_Spare") -> None:
        """Take over what another one still has."""
        self.left += other.left
        self.until_s = min(self.until_s, other.until_s)

    def next(self) -> Decision:
        self.left -= 1
        self._last = replace(self._last, remaining=max(0, self._last.remaining - 1))
        return self._last


class Allowances:
    """One per ingress replica. What is let through here was charged before, so that no key ever gets more."""

    def __init__(self, rate_limiter: "RateLimiter") -> None:
        self._asked = Batcher[Take, Decision](rate_limiter.take)
        self._spares: dict[tuple[KeyId, Bucket], _Spare] = {}

    async def take(self, principal: Principal, bucket: Bucket) -> Decision:
        """Decide on one request."""
        slot = (principal.key_id, bucket)
        now_s = monotonic_s()
        spare = self._spares.get(slot)
        if spare is not None and spare.is_good(now_s):
            return spare.next()
        decision = await self._asked.add(Take(*slot, principal.limits, ahead=True))
        if decision.spare:
            self._keep(slot, _Spare(decision, now_s))
        return decision

    async def take_tokens(self, principal: Principal, tokens: int) -> Decision:
        """Decide on the tokens of one job."""
        return await self._asked.add(Take(principal.key_id, "tokens", principal.limits, tokens))

    def _keep(self, slot: tuple[KeyId, Bucket], spare: _Spare) -> None:
        before = self._spares.get(slot)
        if before is not None and before.is_good(monotonic_s()):
            spare.join(before)
        if len(self._spares) >= _MOST:
            self._spares.clear()
        self._spares[slot] = spare
