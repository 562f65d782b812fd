"""Who got what while there was not enough for all: Jain's index over what each account was owed."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from cluster.shares import OUTPUT_WEIGHT, PROMPT_WEIGHT
from cluster.simulation.results import jain


class Fairness:
    """Watches the queues in windows. One counts where jobs of a model waited all through it, of two accounts or more.

    What is shared out is service, as `cluster/shares.py` weighs it: that of the jobs that began. An account is owed
    what it would have under max-min fairness: the same as the others, unless it wanted less. The index of a window is
    Jain's over had / owed.
    """

    def __init__(self, window_s: float) -> None:
        self.indices: list[tuple[int, float]] = []
        """Of each window that counts: between how many accounts, and the index."""
        self._window_s = window_s
        self._ends_s = window_s
        self._backlog: dict[int, Counter[int]] = defaultdict(Counter)
        self._wanted: dict[int, Counter[int]] = {}
        self._had: dict[int, Counter[int]] = {}

    def came(self, model: int, account: int, service: int) -> None:
        """A job has come to wait."""
        self._backlog[model][account] += service
        if model in self._wanted:
            self._wanted[model][account] += service

    def began(self, model: int, account: int, service: int) -> None:
        """A job that waited has begun."""
        self.went(model, account, service)
        if model in self._had:
            self._had[model][account] += service

    def went(self, model: int, account: int, service: int) -> None:
        """A job does not wait any more."""
        backlog = self._backlog[model]
        backlog[account] -= service
        if not backlog[account]:
            del backlog[account]
            if not backlog:
                self._wanted.pop(model, None)
                self._had.pop(model, None)

    def look(self, now_s: float) -> None:
        """Close the windows that are over, and open the next ones."""
        if now_s < self._ends_s:
            return
        self._ends_s += self._window_s
        for model, had in self._had.items():
            wanted = self._wanted[model]
            if len(wanted) > 1 and had:
                self.indices.append((len(wanted), jain(shares_had(had, wanted))))
        contended = {model: backlog for model, backlog in self._backlog.items() if backlog}
        self._wanted = {model: backlog.copy() for model, backlog in contended.items()}
        self._had = {model: Counter() for model in contended}

    def index(self) -> float | None:
        """The mean index, each window weighing as many as its accounts; None where nobody had to share."""
        accounts = sum(number for number, _ in self.indices)
        return sum(number * index for number, index in self.indices) / accounts if accounts else None


def service(prompt_tokens: int, output_tokens: int) -> int:
    """What a job is worth to its account."""
    return PROMPT_WEIGHT * prompt_tokens + OUTPUT_WEIGHT * output_tokens


def shares_had(had: Mapping[int, int], wanted: Mapping[int, int]) -> list[float]:
    """What each had of what it was owed."""
    return [had.get(account, 0) / owed for account, owed in max_min(sum(had.values()), wanted).items()]


def max_min(total: float, wanted: Mapping[int, int]) -> dict[int, float]:
    """Share out `total`: all get the same, but nobody more than it wants."""
    owed: dict[int, float] = {}
    left, others = total, len(wanted)
    for account, wants in sorted(wanted.items(), key=lambda item: item[1]):
        owed[account] = min(wants, left / others)
        left -= owed[account]
        others -= 1
    return owed
