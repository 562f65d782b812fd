"""What was so before this Journal began."""

from collections.abc import Mapping

from cluster.ids import JobId


class Before:
    """The jobs that were open, with their last attempts, once the Ledger has told of them."""

    def __init__(self) -> None:
        self._attempts: Mapping[JobId, int] | None = None

    @property
    def is_known(self) -> bool:
        return self._attempts is not None

    def learn(self, attempts: Mapping[JobId, int]) -> None:
        """The first answer counts: what was placed later is no news of before."""
        if self._attempts is None:
            self._attempts = attempts

    def attempt(self, job_id: JobId) -> int:
        """The last attempt at this job; 0 when there was none, as far as is known."""
        return self._attempts.get(job_id, 0) if self._attempts else 0

    def is_new(self, job_id: JobId) -> bool:
        """Whether this job has been accepted since: whatever was told of it was told by this Journal."""
        return self._attempts is not None and job_id not in self._attempts
