"""What an engine has to generate now: enough to see whether it gets on, and what may do better elsewhere."""

from collections.abc import Sequence

from actors.backends.base import Chunk
from cluster.ids import JobId
from cluster.messages.machines import FailedAttempt
from cluster.messages.work import Dispatch, Failed, JobAttempt
from cluster.placement import prompt_tokens


class _Generation:
    """An attempt under way: the tokens to be read before its first, and whether it has told anything."""

    __slots__ = ("has_told", "prefill_tokens")

    def __init__(self, dispatch: Dispatch) -> None:
        self.prefill_tokens = prompt_tokens(dispatch.job) + len(dispatch.resume.token_ids)
        self.has_told = False


class Generating:
    """The current attempts at an engine's jobs that go on, and those that failed or were stopped."""

    def __init__(self) -> None:
        self._generations: dict[JobId, _Generation] = {}
        self._failed: dict[JobId, FailedAttempt] = {}
        self._stopped: dict[JobId, JobAttempt] = {}

    def __len__(self) -> int:
        return len(self._generations)

    @property
    def prefill_tokens(self) -> int:
        """The tokens that are still to be read: of those that have told nothing yet."""
        return sum(g.prefill_tokens for g in self._generations.values() if not g.has_told)

    @property
    def failed(self) -> Sequence[FailedAttempt]:
        """The attempts that failed without having told anything, and may do better elsewhere."""
        return tuple(self._failed.values())

    @property
    def stopped(self) -> Sequence[JobAttempt]:
        """The attempts that were stopped before their end."""
        return tuple(self._stopped.values())

    def begin(self, dispatch: Dispatch) -> None:
        self.forget(dispatch.job.id)
        self._generations[dispatch.job.id] = _Generation(dispatch)

    def hear(self, chunk: Chunk) -> bool:
        """Take in what the current attempt produced. False when it failed, and that is not the job's end."""
        generation = self._generations.get(chunk.job_id)
        if generation is None:
            return True
        if isinstance(chunk.end, Failed) and chunk.retryable and not generation.has_told:
            del self._generations[chunk.job_id]
            self._failed[chunk.job_id] = FailedAttempt(chunk.job_id, chunk.attempt, chunk.end.error_message)
            return False
        generation.has_told = generation.has_told or bool(chunk.token_ids or chunk.text)
        if chunk.end is not None:
            del self._generations[chunk.job_id]
        return True

    def stop(self, job_id: JobId, attempt: int) -> None:
        if self._generations.pop(job_id, None) is not None:
            self._stopped[job_id] = (job_id, attempt)

    def forget(self, job_id: JobId) -> None:
        for of_job in (self._generations, self._failed, self._stopped):
            of_job.pop(job_id, None)
