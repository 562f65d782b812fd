"""How many replicas of a model there ought to be, from the jobs that it has. Pure.

More at once: a job that waits for a start of minutes is worse than a replica too many. Jobs that pile up meanwhile are
a backlog that is soon worked off, and do not each want a slot of their own (`cluster/fleet/backlog.py`). Fewer one at a
time, and only when one fewer would have been enough, with room to spare, all through the last minute: what has been
started stays for the next burst. None at all after a time without jobs. A replica that is being started counts as if it
were there, so that nothing is started twice, and until it is ready nothing is ended.
"""

import math
from collections import deque

from msgspec import Struct

from cluster.catalogue import Replicas
from cluster.fleet.backlog import Backlog


class Load(Struct, frozen=True):
    """What a model has to do, and what does it.

    `waiting` jobs have no engine yet, `running` ones have. `replicas` are those that are there or on their way,
    `starting` of them not ready. `slots` is how many jobs one can run at once, as they told; None before any did.
    `ended` is how many jobs engines of it have ended so far.
    """

    waiting: int
    running: int
    replicas: int
    starting: int
    slots: int | None
    ended: int = 0

    @property
    def jobs(self) -> int:
        return self.waiting + self.running


class ModelScaling:
    """Decides for one model: `wanted` is how many replicas there ought to be."""

    def __init__(self, bounds: Replicas, window_s: float) -> None:
        self._bounds = bounds
        self._window_s = window_s
        self._began_s: float | None = None
        self._busy_s = 0.0
        # The most jobs of the last window: moments and numbers, both rising and falling respectively.
        self._peaks: deque[tuple[float, float]] = deque()
        self._backlog = Backlog(window_s)
        self._looked: tuple[Load, int | None, int, float] | None = None
        self.wanted = bounds.min

    @property
    def bounds(self) -> Replicas:
        """How many there may be."""
        return self._bounds

    def bound(self, bounds: Replicas) -> None:
        """From now on there may be so many."""
        self._bounds = bounds
        self.wanted = self._within_bounds(self.wanted)

    @property
    def reason(self) -> str:
        """Why so many were wanted at the last look. It is put into words when somebody asks."""
        return "nothing has been decided yet" if self._looked is None else self._explain(*self._looked)

    @property
    def can_spare(self) -> bool:
        """Whether one replica less is still as many as there have to be."""
        return self.wanted > self._bounds.min

    def spare(self) -> None:
        """One replica goes, for another model; it comes back when its jobs need it."""
        self.wanted -= 1

    def decide(self, load: Load, now_s: float) -> None:
        """Look at what there is to do now."""
        if self._began_s is None:
            self._began_s = self._busy_s = now_s
            self.wanted = self._within_bounds(load.replicas)
        at_once = self._backlog.note(load.waiting, load.running, load.ended, now_s)
        self._note(at_once, now_s)
        each = self._jobs_each(load)
        needed = self._needed(at_once, each)
        if needed > self.wanted:
            self.wanted = needed
        elif load.starting == 0 and self._may_have_fewer(each, now_s):
            self.wanted = 0 if self._may_have_none(now_s) else self.wanted - 1
        self._looked = load, each, needed, now_s

    def _note(self, jobs: float, now_s: float) -> None:
        if jobs:
            self._busy_s = now_s
        while self._peaks and self._peaks[-1][1] <= jobs:
            self._peaks.pop()
        self._peaks.append((now_s, jobs))
        while self._peaks[0][0] < now_s - self._window_s:
            self._peaks.popleft()

    def _jobs_each(self, load: Load) -> int | None:
        """How many jobs a replica is to have at once; None where nobody knows yet."""
        known = [number for number in (self._bounds.target_jobs, load.slots) if number]
        return min(known, default=None)

    def _needed(self, jobs: float, each: int | None) -> int:
        if jobs == 0:
            return self._bounds.min
        return self._within_bounds(1 if each is None else math.ceil(jobs / each))

    def _within_bounds(self, replicas: int) -> int:
        return max(self._bounds.min, min(replicas, self._bounds.max))

    def _may_have_fewer(self, each: int | None, now_s: float) -> bool:
        if not self.can_spare:
            return False
        if self._may_have_none(now_s):
            return True
        assert self._began_s is not None
        seen_all_of_it = now_s - self._began_s >= self._window_s
        is_enough = each is not None and with_room(self._peak) <= (self.wanted - 1) * each
        return seen_all_of_it and self.wanted > 1 and is_enough

    def _may_have_none(self, now_s: float) -> bool:
        return self._bounds.min == 0 and now_s - self._busy_s >= self._bounds.idle_s

    @property
    def _peak(self) -> float:
        return self._peaks[0][1]

    # Why ----------------------------------------------------------------------------------------------------------

    def _explain(self, load: Load, each: int | None, needed: int, now_s: float) -> str:
        if load.jobs == 0:
            return self._explain_idleness(now_s)
        facts = [f"{_counted(load.jobs, 'job')}, {load.waiting} of them waiting"]
        if each is not None:
            facts.append(f"{each} for each replica")
        if load.starting:
            facts.append(f"{load.starting} starting")
        if self.wanted > needed:
            facts.append(f"up to {_counted(math.ceil(self._peak), 'job')} in the last {self._window_s:g} s")
        return f"{self._bound()}: {'; '.join(facts)}"

    def _explain_idleness(self, now_s: float) -> str:
        idle_s = now_s - self._busy_s
        if self.wanted == 0:
            return "no replica: the next job starts one"
        if self.can_spare:
            until = f" of {self._bounds.idle_s} s" if self._bounds.min == 0 else ""
            return f"{self._bound()}: no job for {idle_s:.0f} s{until}"
        return f"{self._bound()}: no jobs"

    def _bound(self) -> str:
        wanted = _counted(self.wanted, "replica")
        if self._bounds.min == self._bounds.max:
            return f"{wanted}, a fixed number"
        if self.wanted == self._bounds.max:
            return f"{wanted}, the most there may be"
        return f"{wanted}, the fewest there may be" if self.wanted == self._bounds.min else wanted


def with_room(jobs: float) -> float:
    """Room for so many jobs, and for as many more as chance often brings: their square root, as with Poisson."""
    return jobs + math.sqrt(jobs)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
