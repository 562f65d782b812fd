"""The life of a job: every state, every event."""

import pytest

from cluster.job_states import JobEvent, JobState, advance

PENDING, PROCESSING, COMPLETED, FAILED = JobState

AFTER = {
    PENDING: {
        JobEvent.PLACED: PROCESSING,
        JobEvent.COMPLETED: COMPLETED,
        JobEvent.FAILED: FAILED,
    },
    PROCESSING: {
        JobEvent.PLACED: PROCESSING,
        JobEvent.COMPLETED: COMPLETED,
        JobEvent.FAILED: FAILED,
    },
    COMPLETED: dict.fromkeys(JobEvent, COMPLETED),
    FAILED: dict.fromkeys(JobEvent, FAILED),
}


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("event", JobEvent)
def test_every_event_in_every_state(state: JobState, event: JobEvent) -> None:
    assert advance(state, event) is AFTER[state][event]


def test_a_job_has_ended_when_it_completed_or_failed() -> None:
    assert [state for state in JobState if state.ended] == [COMPLETED, FAILED]


def test_the_states_are_the_contracts_words() -> None:
    assert list(JobState) == ["pending", "processing", "completed", "failed"]
