"""The life of a job: one table and one function. Nobody else assigns a state; final states absorb."""

from enum import StrEnum


class JobState(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in (JobState.COMPLETED, JobState.FAILED)


class JobEvent(StrEnum):
    PLACED = "placed"
    COMPLETED = "completed"
    FAILED = "failed"


_NEXT: dict[tuple[JobState, JobEvent], JobState] = {
    (JobState.PENDING, JobEvent.PLACED): JobState.PROCESSING,
    (JobState.PENDING, JobEvent.COMPLETED): JobState.COMPLETED,
    (JobState.PENDING, JobEvent.FAILED): JobState.FAILED,
    (JobState.PROCESSING, JobEvent.PLACED): JobState.PROCESSING,
    (JobState.PROCESSING, JobEvent.COMPLETED): JobState.COMPLETED,
    (JobState.PROCESSING, JobEvent.FAILED): JobState.FAILED,
}


def advance(state: JobState, event: JobEvent) -> JobState:
    """The state after `event`. An ended job stays as it ended."""
    return state if state.ended else _NEXT[(state, event)]
