"""The time in which a model had no engine because one was being started: it does not count for its jobs. Pure."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from cluster.catalogue import Model
from cluster.messages.work import Job

_MOST_KEPT = 100


@dataclass
class _Start:
    began_ms: int
    ended_ms: int


class Starts:
    """Remembers of each model when it was being started. A Scheduler that begins anew remembers nothing."""

    def __init__(self) -> None:
        self._starts: dict[str, deque[_Start]] = {}
        self._limits_ms: dict[str, int] = {}
        self._going_on: set[str] = set()

    def note(self, starting: Collection[Model], now_ms: int) -> None:
        """These models have no engine now but one that starts, and the others have."""
        for model in starting:
            self._limits_ms[model.id] = model.load_timeout_s * 1000
            starts = self._starts.setdefault(model.id, deque(maxlen=_MOST_KEPT))
            if model.id not in self._going_on:
                starts.append(_Start(now_ms, now_ms))
        for model_id in self._going_on:
            self._starts[model_id][-1].ended_ms = now_ms
        self._going_on = {model.id for model in starting}

    def due_ms(self, job: Job) -> int:
        """When the job has to end: its deadline, and the time it could not use, up to what a start may take."""
        starts = self._starts.get(job.model, ())
        unused_ms = sum(max(0, start.ended_ms - max(start.began_ms, job.created_ms)) for start in starts)
        return job.deadline_ms + min(unused_ms, self._limits_ms.get(job.model, 0))
