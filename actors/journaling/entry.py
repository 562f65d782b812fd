"""What the Journal keeps of one job."""

import asyncio

from actors.wire.frames import JobLog
from cluster.ids import JobId
from cluster.messages.work import Placed
from cluster.text.attempts import Attempts


class Entry(JobLog):
    """A job's output here, which attempt may add to it, and where the last attempt runs."""

    __slots__ = ("attempts", "ran", "settling")

    def __init__(self, job_id: JobId) -> None:
        super().__init__(job_id)
        self.attempts = Attempts()
        self.ran: Placed | None = None
        self.settling: asyncio.Task[None] | None = None

    @property
    def empty(self) -> bool:
        """Only a reader's question made it, and that reader has gone."""
        return self.attempts.empty and not self.watchers
