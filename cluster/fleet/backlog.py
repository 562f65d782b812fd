"""How many jobs at once those that a model has are worth to its replicas. Pure.

Who waits while a replica starts, which takes minutes, is a backlog: in that time one slot will serve not one of these
jobs but many, if jobs are short. So a job that waits counts whole at first, and less the longer jobs have waited: as
many slots are counted as end the backlog in the time in which it came up, or in `clear_s`, where that is less.
What a job takes is measured, and guessed before enough have ended; where jobs take longer than they have waited, each
counts whole.
"""

_SAMPLE = 16
"""What a job takes is told by so many at least, and by as many as run at once: those that run now are known in part."""

GUESS_S = 20.0
"""What a job is taken to last before that is known."""


class Backlog:
    """Follows one model's jobs, from look to look."""

    def __init__(self, clear_s: float) -> None:
        self._clear_s = clear_s
        self._waiting_since_s: float | None = None
        self._seen: tuple[float, int, int] | None = None
        # Since it was last told what a job takes: how many have ended, and the seconds that engines have run jobs.
        self._ended = 0
        self._run_s = 0.0
        self._measured_s: float | None = None

    @property
    def job_s(self) -> float:
        """How long an engine runs a job, on average."""
        return GUESS_S if self._measured_s is None else self._measured_s

    def note(self, waiting: int, running: int, ended: int, now_s: float) -> float:
        """So many wait and run now, so many have ended in all. Returns what they count for."""
        self._measure(running, ended, now_s)
        if not waiting:
            self._waiting_since_s = None
            return running
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return running + waiting * self._share(now_s - self._waiting_since_s)

    def _measure(self, running: int, ended: int, now_s: float) -> None:
        if self._seen is not None:
            then_s, ran, had_ended = self._seen
            self._run_s += ran * (now_s - then_s)
            self._ended += ended - had_ended
        self._seen = now_s, running, ended
        if self._ended >= max(_SAMPLE, running):
            lately_s = self._run_s / self._ended
            self._measured_s = lately_s if self._measured_s is None else (self._measured_s + lately_s) / 2
            self._ended, self._run_s = 0, 0.0

    def _share(self, waited_s: float) -> float:
        """What a job that waits counts for, when jobs have waited for so long."""
        spread_s = min(waited_s, self._clear_s)
        return 1.0 if self.job_s >= spread_s else self.job_s / spread_s
