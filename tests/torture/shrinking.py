"""The fewest faults that show what a plan has shown."""

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from tests.support.faults import Fault
from tests.torture.invariants import Violation
from tests.torture.plan import Plan

MOST_TRIES = 60

Check = Callable[[Plan], tuple[Violation, ...]]


class Shrunk(NamedTuple):
    """A plan that breaks `violation.rule`, and no longer does without its last fault, or any one of them."""

    plan: Plan
    violation: Violation


def shrink(plan: Plan, violation: Violation, check: Check, most_tries: int = MOST_TRIES) -> Shrunk:
    """Cut the plan to the shortest prefix that breaks the rule, then leave out every fault that it does not need.

    `check` plays a plan. It is asked at most `most_tries` times.
    """
    search = _Search(plan, violation, check, most_tries)
    search.find_prefix()
    search.leave_out()
    return Shrunk(search.plan, search.violation)


class _Search:
    def __init__(self, plan: Plan, violation: Violation, check: Check, tries: int) -> None:
        self.plan = plan
        self.violation = violation
        self._check = check
        self._tries = tries

    def find_prefix(self) -> None:
        """By bisection: more faults seldom mend what fewer have broken."""
        faults = self.plan.faults
        too_few, enough = -1, len(faults)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if self._still_breaks(faults[:middle]):
                enough = middle
            else:
                too_few = middle

    def leave_out(self) -> None:
        """Large pieces first, then smaller ones."""
        size = len(self.plan.faults) // 2
        while size:
            at = 0
            while at < len(self.plan.faults):
                if not self._still_breaks(self.plan.faults[:at] + self.plan.faults[at + size :]):
                    at += size
            size //= 2

    def _still_breaks(self, faults: tuple[Fault, ...]) -> bool:
        if not self._tries:
            return False
        self._tries -= 1
        plan = replace(self.plan, faults=faults)
        for violation in self._check(plan):
            if violation.rule == self.violation.rule:
                self.plan, self.violation = plan, violation
                return True
        return False
