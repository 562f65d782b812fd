"""What keys may still ask for: charged by the RateLimiter, for keys with large limits some requests ahead."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from actors.wire.batcher import Batcher
from actors.wire.calls import within
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.errors import BadRequest
from cluster.ids import KeyId
from cluster.limits.windows import Bucket, Decision, Take, refusal
from cluster.messages.money import Usage
from cluster.messages.people import KeyLimits, Principal
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.rate_limiter import RateLimiter

_MOST_KEYS = 10_000


class _Prepaid:
    """Requests of a key that were charged ahead: how many are left, until when, and what the last one was told."""

    def __init__(self, decision: Decision, asked_s: float, limits: KeyLimits) -> None:
        self.left = decision.spare
        self._limits = limits
        # Counted from before the question: the RateLimiter's window cannot end earlier.
        self.until_s = asked_s + decision.spare_ms / 1000
        self._last = replace(decision, spare=0, spare_ms=0)

    def is_good(self, now_s: float, limits: KeyLimits) -> bool:
        """Whether it lets another one through. What was paid under other limits does not."""
        return self.left > 0 and now_s < self.until_s and self._limits == limits

    def join(self, other: "_Prepaid") -> None:
        """Take over what another one still has. All of it ends when the first of the two does."""
        self.left += other.left
        self.until_s = min(self.until_s, other.until_s)

    def next(self) -> Decision:
        self.left -= 1
        self._last = replace(self._last, remaining=max(0, self._last.remaining - 1))
        return self._last


class Allowances:
    """One per ingress replica. What is let through here was charged before, so that no key ever gets more.

    Of at most `most_keys` keys it is known what they have paid ahead.
    """

    def __init__(
        self,
        rate_limiter: "RateLimiter",
        clock: Clock = SYSTEM_CLOCK,
        most_keys: int = _MOST_KEYS,
        answer_s: float = Timing().answer_s,
        decided: Callable[[Bucket, bool], None] = lambda bucket, allowed: None,
    ) -> None:
        """`decided` is told of each decision."""
        # Apart: of what is submitted the database has to know before, and what is read need not wait for that.
        self._reads = Batcher[Take, Decision](rate_limiter.take)
        self._others = Batcher[Take, Decision](rate_limiter.take)
        self._answer_s = answer_s
        self._decided = decided
        self._clock = clock
        self._most_keys = most_keys
        self._prepaid: dict[tuple[KeyId, Bucket], _Prepaid] = {}

    async def charge(self, principal: Principal, bucket: Bucket) -> Decision:
        """Charge one request to the key, whichever replica it reached, if its window has room for it."""
        decision = await self._charge(principal, bucket)
        self._decided(bucket, decision.allowed)
        return decision

    async def _charge(self, principal: Principal, bucket: Bucket) -> Decision:
        slot = (principal.key_id, bucket)
        now_s = self._clock.monotonic_s()
        prepaid = self._prepaid.get(slot)
        if prepaid is not None and prepaid.is_good(now_s, principal.limits):
            return prepaid.next()
        decision = await self._take(Take(*slot, principal.limits, ahead=True))
        if decision.spare:
            self._keep(slot, _Prepaid(decision, now_s, principal.limits), principal.limits)
        return decision

    async def charge_tokens(self, principal: Principal, most: Usage) -> None:
        """Charge the most that a job can consume to its key, where the key's tokens are limited.

        Raises RateLimited, and BadRequest if the limit is less than that.
        """
        limit = principal.limits.tokens_per_minute
        if limit is None:
            return
        tokens = most.prompt_tokens + most.completion_tokens
        if tokens > limit:
            raise BadRequest(f"max_tokens: prompt and max_tokens are {tokens} tokens; the key has {limit} a minute")
        decision = await self._take(Take(principal.key_id, "tokens", principal.limits, tokens))
        self._decided("tokens", decision.allowed)
        if not decision.allowed:
            raise refusal(decision, "tokens")

    async def _take(self, take: Take) -> Decision:
        asked = self._reads if take.bucket == "reads" else self._others
        return await within(self._answer_s, asked.add(take), "the rate limiter")

    def _keep(self, slot: tuple[KeyId, Bucket], prepaid: _Prepaid, limits: KeyLimits) -> None:
        before = self._prepaid.get(slot)
        if before is not None and before.is_good(self._clock.monotonic_s(), limits):
            prepaid.join(before)
        if len(self._prepaid) >= self._most_keys:
            self._prepaid.clear()
        self._prepaid[slot] = prepaid
