"""Whose turn it is: virtual token counters of the accounts that want one model. Pure.

After Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024). An account's counter grows with the tokens
that engines process for it, an output token counting as two of a prompt. Of those who wait, the one with the least is
next: while two accounts both have jobs waiting, they get the same, or what their weights say, however many jobs each of
them has and however long they are. Who comes later is lifted to the least of those who wait, so that nobody saves up by
not asking; what nobody else asks for is anybody's.
"""

import heapq
from collections.abc import Iterable, Mapping
from itertools import count

from cluster.ids import AccountId

PROMPT_WEIGHT = 1
OUTPUT_WEIGHT = 2


class Shares:
    """What each account has had of one model, since somebody last had to wait for it.

    The counters outlive the process: what changed is written down again and again (`changes`). One that begins in its
    place is given them back (`restore`), and goes by them while the jobs from before come back (`recovered`).
    """

    def __init__(self, weights: Mapping[AccountId, int]) -> None:
        """An account of weight 2 gets twice what one gets that is not in `weights`, which may change."""
        self._weights = weights
        self._counters: dict[AccountId, float] = {}
        self._least_before: float | None = None
        self._changed: set[AccountId] = set()
        self._written: set[AccountId] = set()

    def counter(self, account_id: AccountId) -> float:
        return self._counters.get(account_id, 0.0)

    def weight(self, account_id: AccountId) -> int:
        return self._weights.get(account_id, 1)

    def charge(self, account_id: AccountId, prompt_tokens: int = 0, output_tokens: int = 0) -> None:
        """Engines have processed so much for this account."""
        tokens = PROMPT_WEIGHT * prompt_tokens + OUTPUT_WEIGHT * output_tokens
        self._set(account_id, self.counter(account_id) + tokens / self.weight(account_id))

    def lift(self, account_id: AccountId, least: float) -> None:
        """This account comes to wait, where the others have had so much at least."""
        if self._least_before is not None:
            # Who is here already is only the first to be back.
            least = self._least_before
        self._set(account_id, max(self.counter(account_id), least))

    def begin_anew(self) -> None:
        """Nobody waits: all are equal again."""
        if self._least_before is None:
            self._changed.update(self._counters)
            self._counters.clear()

    # Beyond this process ------------------------------------------------------------------------------------------

    def changes(self) -> dict[AccountId, float | None]:
        """The counters to write down: those that are not as they were written last. None for one that is no more."""
        changed, self._changed = self._changed, set()
        changes = {
            each: self._counters.get(each) for each in changed if each in self._counters or each in self._written
        }
        self._written.update(changes)
        self._written -= {each for each, counter in changes.items() if counter is None}
        return changes

    def not_written(self, account_ids: Iterable[AccountId]) -> None:
        """These changes may have been written down, or not."""
        self._changed.update(account_ids)
        self._written.update(account_ids)

    def compare(self, written: Mapping[AccountId, float]) -> None:
        """These counters are written down: what differs is written again. A call that is repeated may come late."""
        self._written.update(written)
        self._changed.update(
            each for each in {*written, *self._counters} if written.get(each) != self._counters.get(each)
        )

    def restore(self, written: Mapping[AccountId, float], waited: Iterable[AccountId]) -> None:
        """Go on from counters that another process wrote down, before which these accounts waited.

        Where none of them did, all begin anew.
        """
        self._written.update(written)
        if known := [written[account_id] for account_id in waited if account_id in written]:
            self._counters.update(written)
            self._least_before = min(known)
        else:
            self._changed.update(written)

    @property
    def recovering(self) -> bool:
        """Accounts that waited before are not back yet."""
        return self._least_before is not None

    def recovered(self) -> None:
        """All who waited before are back."""
        self._least_before = None

    def _set(self, account_id: AccountId, counter: float) -> None:
        self._counters[account_id] = counter
        self._changed.add(account_id)


class Turns:
    """The accounts that wait in one lane. Counters only grow: each is looked at when its turn seems to have come."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        # Each with a counter that it had once, and a number that gives equals their turns in a circle.
        self._heap: list[tuple[float, int, AccountId]] = []
        self._numbers = count()
        self._waiting: set[AccountId] = set()
        self._in_heap: set[AccountId] = set()

    def join(self, account_id: AccountId) -> None:
        """This account has a job here, and had none."""
        first = self.next()
        self._shares.lift(account_id, 0.0 if first is None else self._shares.counter(first))
        self._waiting.add(account_id)
        if account_id not in self._in_heap:
            self._in_heap.add(account_id)
            heapq.heappush(self._heap, self._entry(account_id))

    def leave(self, account_id: AccountId) -> None:
        """This account has no job here any more."""
        self._waiting.discard(account_id)

    def next(self) -> AccountId | None:
        """The account with the least; None when nobody waits."""
        while self._heap:
            counter, _, account_id = self._heap[0]
            if account_id not in self._waiting:
                heapq.heappop(self._heap)
                self._in_heap.discard(account_id)
            elif counter < self._shares.counter(account_id):
                heapq.heapreplace(self._heap, self._entry(account_id))
            else:
                return account_id
        return None

    def in_order(self) -> list[AccountId]:
        """All that wait, as their turns would come if nobody had anything more."""
        return sorted(self._waiting, key=lambda account_id: (self._shares.counter(account_id), account_id))

    def _entry(self, account_id: AccountId) -> tuple[float, int, AccountId]:
        return self._shares.counter(account_id), next(self._numbers), account_id
