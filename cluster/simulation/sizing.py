"""How many replicas of a model there are to be: by the rule, a fixed number, or as somebody planned who knew it all."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

from cluster.catalogue import Replicas
from cluster.fleet.scaling import Load, ModelScaling


class Sizing(Protocol):
    """Decides for one model. It is asked while the model has jobs or engines, and once it is `due_s`."""

    due_s: float

    def wanted(self, load: Load, now_s: float) -> int:
        """How many replicas there ought to be now."""
        ...


class ByRule:
    """The Scheduler's own rule, `cluster/fleet/scaling.py`."""

    def __init__(self, bounds: Replicas, window_s: float) -> None:
        self.due_s = 0.0 if bounds.min else math.inf
        self._scaling = ModelScaling(bounds, window_s)

    def wanted(self, load: Load, now_s: float) -> int:
        self.due_s = math.inf
        self._scaling.decide(load, now_s)
        return self._scaling.wanted


class Fixed:
    """So many all the time."""

    def __init__(self, replicas: int) -> None:
        self.due_s = 0.0 if replicas else math.inf
        self._replicas = replicas

    def wanted(self, load: Load, now_s: float) -> int:
        self.due_s = math.inf
        return self._replicas


class Planned:
    """As many as a plan says, in steps: from which second on, how many."""

    def __init__(self, steps: Sequence[tuple[float, int]]) -> None:
        self._from_s = [from_s for from_s, _ in steps]
        self._replicas = [replicas for _, replicas in steps]
        self.due_s = self._from_s[0] if steps else math.inf

    def wanted(self, load: Load, now_s: float) -> int:
        index = bisect_right(self._from_s, now_s)
        self.due_s = self._from_s[index] if index < len(self._from_s) else math.inf
        return self._replicas[index - 1] if index else 0
