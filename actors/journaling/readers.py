"""The ingress replicas that read the Journal."""

from collections.abc import Sequence

from actors.wire.frames import Outbox
from cluster.clock import Clock
from cluster.ids import JobId


class _Reader:
    """One ingress replica, and when it last gave a sign of life."""

    def __init__(self, interval_s: float, now_s: float) -> None:
        self.outbox = Outbox(interval_s)
        self.heard_s = now_s


class Readers:
    """Sole owner of the readers' outboxes. One that has been silent for `silence_s` reads no more."""

    def __init__(self, interval_s: float, silence_s: float, clock: Clock) -> None:
        self._interval_s = interval_s
        self._silence_s = silence_s
        self._clock = clock
        self._readers: dict[str, _Reader] = {}

    def ids(self) -> set[str]:
        return set(self._readers)

    def outbox(self, reader_id: str) -> Outbox:
        """The outbox of this reader. One that is new has an empty one."""
        reader = self._readers.get(reader_id)
        if reader is None:
            reader = self._readers[reader_id] = _Reader(self._interval_s, self._clock.monotonic_s())
        return reader.outbox

    def find(self, reader_id: str) -> Outbox | None:
        reader = self._readers.get(reader_id)
        return None if reader is None else reader.outbox

    def acknowledge(self, reader_id: str, frames: int) -> None:
        """This reader lives, and has received `frames` frames of its stream in all."""
        if reader := self._readers.get(reader_id):
            reader.heard_s = self._clock.monotonic_s()
            reader.outbox.acknowledge(frames)

    def close(self, reader_id: str) -> Sequence[JobId]:
        """This reader reads no more. Returns the jobs that it watched."""
        reader = self._readers.pop(reader_id, None)
        return [] if reader is None else reader.outbox.close()

    def prune(self) -> Sequence[JobId]:
        """Close the readers that have been silent for too long. Returns the jobs that they watched."""
        silent_since_s = self._clock.monotonic_s() - self._silence_s
        silent = [reader_id for reader_id, reader in self._readers.items() if reader.heard_s < silent_since_s]
        return [job_id for reader_id in silent for job_id in self.close(reader_id)]
