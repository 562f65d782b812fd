"""The one place where requests, tokens and attempts to sign in are counted: limits hold whichever replica is asked."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from actors.wire.batcher import Batcher
from actors.wire.calls import AWAY, tell
from actors.wire.outage import Outage
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.ids import KeyId
from cluster.limits import marks
from cluster.limits import windows as limits
from cluster.limits.attempts import Attempts
from cluster.limits.windows import MINUTE_S, Bucket, Decision, Take, Windows
from cluster.messages.people import WindowMark
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.ledger import Ledger

Slot = tuple[KeyId, Bucket]
"""A key and one of its buckets."""


class _Tally:
    """What was used of a slot's windows, and what the Ledger knows of it for good."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.marks = windows
        self.ceilings: tuple[int, ...] = ()


class RateLimiter:
    """The windows of every key that has asked lately.

    Nothing is let through twice, whenever this process dies: before a take is answered, the Ledger has a mark that
    covers it, and the next process begins at the marks. They are kept ahead of the use, so that few takes wait.
    Reads wait for `reads_wait_s` only, so that what can be read is read while the database cannot be written: they are
    counted here then, and nowhere else; and so are attempts to sign in, always.
    """

    def __init__(
        self, ledger: "Ledger", clock: Clock = SYSTEM_CLOCK, reads_wait_s: float = Timing().reads_wait_s
    ) -> None:
        self._ledger = ledger
        self._reads_wait_s = reads_wait_s
        self._marking = Outage("marking what keys have read", clock)
        self._now_ms = clock.wall_ms
        self._tallies: dict[Slot, _Tally] = {}
        self._moves = Batcher[Slot, None](self._move_marks)
        self._moving_soon: set[Slot] = set()
        self._moving_for_reads: set[asyncio.Task[None]] = set()
        self._exact = False
        self._attempts = Attempts(clock)
        self._minute = _minute(self._now_ms())

    async def start(self) -> None:
        """Begin at the marks: no process before can have let through more."""
        for mark in await self._ledger.window_marks():
            tally = self._tally((mark.key_id, cast(Bucket, mark.bucket)))
            tally.windows = tally.marks = limits.begun_at(tally.windows, mark)

    async def stop(self) -> None:
        """Have the Ledger know exactly what was used: a planned restart costs no client anything."""
        self._exact = True
        await self._move(self._tallies)

    async def take(self, requests: Sequence[Take]) -> list[Decision]:
        """Decide on each request, in their order. Exact: nothing comes between the requests of a batch.

        Raises what the Ledger does when it cannot write, but for reads; then all has been charged, as it is when this
        is repeated.
        """
        now_ms = self._now_ms()
        self._forget_what_is_over(now_ms)
        decisions = [self._take(request, now_ms) for request in requests]
        self._take_ahead(requests, decisions, now_ms)
        passed = {_slot(request) for request, decision in zip(requests, decisions, strict=True) if decision.allowed}
        uncovered = {slot for slot in passed if not self._is_covered(slot)}
        self._move_soon(passed - uncovered)
        reads = {slot for slot in uncovered if slot[1] == "reads"}
        await self._move(uncovered - reads)
        await self._move_for_reads(reads)
        return decisions

    async def try_to_sign_in(self, address: str) -> float:
        """How long it is until somebody at this address may try to sign in; 0 when they may now.

        Then it counts as an attempt that failed, until it is told that it did not.
        """
        return self._attempts.begin(address)

    async def did_not_fail(self, address: str) -> None:
        """The attempt that somebody at this address has just begun is not to be counted."""
        self._attempts.take_back(address)

    def _take(self, request: Take, now_ms: int) -> Decision:
        tally = self._tally(_slot(request))
        tally.ceilings = limits.ceilings(request.bucket, request.limits)
        decision, tally.windows = limits.take(tally.windows, tally.ceilings, request.amount, now_ms)
        return decision

    def _take_ahead(self, requests: Sequence[Take], decisions: list[Decision], now_ms: int) -> None:
        """Add spare takes to the decisions: once for each slot, however many of one call ask for them."""
        first: dict[Slot, int] = {}
        for number, (request, decision) in enumerate(zip(requests, decisions, strict=True)):
            if request.ahead and decision.allowed:
                first.setdefault(_slot(request), number)
        for slot, number in first.items():
            tally = self._tally(slot)
            given = limits.take_ahead(decisions[number], tally.windows, tally.ceilings, now_ms)
            decisions[number], tally.windows = given

    def _tally(self, slot: Slot) -> _Tally:
        if slot not in self._tallies:
            self._tallies[slot] = _Tally(limits.unused(slot[1]))
        return self._tallies[slot]

    def _is_covered(self, slot: Slot) -> bool:
        tally = self._tallies[slot]
        return marks.covered(tally.windows, tally.marks)

    def _move_soon(self, slots: Iterable[Slot]) -> None:
        """Have the marks moved that further takes would soon run into; these takes need not wait for it."""
        for slot in slots:
            tally = self._tallies[slot]
            if slot not in self._moving_soon and marks.ahead(tally.windows, tally.marks, tally.ceilings) != tally.marks:
                self._moving_soon.add(slot)
                tell(self._moves.add(slot), f"moving the marks of {slot[0]}")

    async def _move(self, slots: Iterable[Slot]) -> None:
        """Returns once the Ledger knows marks that cover all that was used of these slots until now."""
        await asyncio.gather(*map(self._moves.add, slots))

    async def _move_for_reads(self, slots: set[Slot]) -> None:
        """The same, or returns when it takes too long, or cannot be."""
        if slots:
            moving = asyncio.create_task(self._try_to_move(slots))
            self._moving_for_reads.add(moving)
            moving.add_done_callback(self._moving_for_reads.discard)
            await asyncio.wait({moving}, timeout=self._reads_wait_s)

    async def _try_to_move(self, slots: set[Slot]) -> None:
        try:
            await self._move(slots)
        except AWAY as error:
            self._marking.failed(error)
        else:
            self._marking.succeeded()

    async def _move_marks(self, slots: list[Slot]) -> list[None]:
        self._moving_soon.difference_update(slots)
        tallies = {slot: self._tallies[slot] for slot in slots if slot in self._tallies}
        moved = {slot: self._next_marks(tally) for slot, tally in tallies.items()}
        news = [news for slot, tally in tallies.items() for news in _news(slot, tally.marks, moved[slot])]
        for slot, tally in tallies.items():
            tally.marks = marks.certain(tally.marks, moved[slot])
        if news:
            # One such call at a time, as the Batcher makes them, so that the Ledger has the marks in their order.
            await (self._ledger.settle_windows if self._exact else self._ledger.mark_windows)(news)
        for slot, tally in tallies.items():
            tally.marks = moved[slot]
        return [None] * len(slots)

    def _next_marks(self, tally: _Tally) -> Windows:
        return tally.windows if self._exact else marks.ahead(tally.windows, tally.marks, tally.ceilings)

    def _forget_what_is_over(self, now_ms: int) -> None:
        """Windows end on the minute, so that one look a minute finds all that are over.

        A minute later than they could be: until then, a clock that is set back finds them as they were.
        """
        if _minute(now_ms) == self._minute:
            return
        self._minute = _minute(now_ms)
        before_ms = now_ms - MINUTE_S * 1000
        self._tallies = {
            slot: tally for slot, tally in self._tallies.items() if not limits.over(tally.windows, before_ms)
        }


def _slot(request: Take) -> Slot:
    return request.key_id, request.bucket


def _news(slot: Slot, known: Windows, moved: Windows) -> Iterator[WindowMark]:
    """Those of the marks that the Ledger does not know."""
    for old, new in zip(known, moved, strict=True):
        if new != old:
            yield WindowMark(*slot, new.length_s, new.number, new.used)


def _minute(now_ms: int) -> int:
    return now_ms // (MINUTE_S * 1000)
