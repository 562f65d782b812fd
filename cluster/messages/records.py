"""What the Ledger tells of jobs to those who ask for one or for many."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct, field

from cluster.ids import AccountId, JobId, KeyId, NodeId
from cluster.job_states import JobState
from cluster.messages.marks import FinishReason, Mark
from cluster.messages.money import Usage
from cluster.messages.work import End, Failed, Finished


class _Record(Struct, frozen=True, kw_only=True, tag_field="state"):
    """What the Ledger tells of a job in whatever state."""

    id: JobId
    account_id: AccountId
    key_id: KeyId
    model: str
    created_ms: int
    metadata: Mapping[str, str] = field(default_factory=dict)


class PendingRecord(_Record, frozen=True, kw_only=True, tag="pending"):
    """A job that waits for its first engine."""

    status: ClassVar[JobState] = JobState.PENDING


class ProcessingRecord(_Record, frozen=True, kw_only=True, tag="processing"):
    """A job that has been given to an engine, last on the node `node_id`."""

    status: ClassVar[JobState] = JobState.PROCESSING

    node_id: NodeId


class CompletedRecord(_Record, frozen=True, kw_only=True, tag="completed"):
    """A job that ended as it should. `content` is its whole text, of this `epoch`; `marks` say what it means."""

    status: ClassVar[JobState] = JobState.COMPLETED

    node_id: NodeId
    content: str
    finish_reason: FinishReason
    usage: Usage
    ended_ms: int
    epoch: int = 1
    marks: tuple[Mark, ...] = ()
    stop_reason: int | str | None = None

    @property
    def end(self) -> End:
        """How it ended, as its readers are told."""
        return Finished(self.usage, self.finish_reason, self.stop_reason)


class FailedRecord(_Record, frozen=True, kw_only=True, tag="failed"):
    """A job that ended otherwise. `content` is what it had produced; it has no node if it never ran."""

    status: ClassVar[JobState] = JobState.FAILED

    node_id: NodeId | None
    content: str
    error: str
    error_message: str
    usage: Usage
    ended_ms: int
    epoch: int = 1
    marks: tuple[Mark, ...] = ()

    @property
    def end(self) -> End:
        """How it ended, as its readers are told."""
        return Failed(self.usage, self.error, self.error_message)


EndedRecord = CompletedRecord | FailedRecord


JobRecord = PendingRecord | ProcessingRecord | EndedRecord
"""A job as the Ledger tells it."""


JobPosition = tuple[int, JobId]
"""A place in a list of jobs: when the job there was created, and its id."""


class JobQuery(Struct, frozen=True):
    """Which jobs to list, newest first: those that are all of what is given here.

    They were created from `since_ms` on and before `until_ms`. `before` is the last one that was looked at already.
    """

    limit: int = 20
    status: JobState | None = None
    since_ms: int | None = None
    before: JobPosition | None = None
    until_ms: int | None = None
    model: str | None = None
    key_id: KeyId | None = None
    node_id: NodeId | None = None
    error: str | None = None


class JobPage(Struct, frozen=True):
    """Jobs of a list, `limit` of them at most. More may follow before `next`; None where nothing does."""

    records: tuple[JobRecord, ...]
    next: JobPosition | None = None
