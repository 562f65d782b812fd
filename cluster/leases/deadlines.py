"""By when jobs have to end. Jobs whose deadlines are close together share an entry: few bytes for each of a million."""

import heapq
from collections.abc import Iterator

from cluster.ids import JobId

_STEP_MS = 250


class Deadlines:
    """A job's deadline is kept until it has passed, whether or not the job has ended by then.

    Nobody is told too early, and nobody more than 250 ms late.
    """

    def __init__(self) -> None:
        self._jobs: dict[int, list[JobId]] = {}
        self._steps: list[int] = []

    def keep(self, job_id: JobId, deadline_ms: int) -> None:
        step = -(-deadline_ms // _STEP_MS)
        jobs = self._jobs.get(step)
        if jobs is None:
            self._jobs[step] = [job_id]
            heapq.heappush(self._steps, step)
        else:
            jobs.append(job_id)

    def passed(self, now_ms: int) -> Iterator[JobId]:
        """The jobs whose deadlines have passed, each told once."""
        while self._steps and self._steps[0] * _STEP_MS <= now_ms:
            yield from self._jobs.pop(heapq.heappop(self._steps))
