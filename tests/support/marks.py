"""What the RateLimiter has the Ledger keep, in memory."""

import asyncio
from collections.abc import Sequence

from cluster.ids import KeyId
from cluster.limits.windows import Bucket
from cluster.messages.people import WindowMark


class Marks:
    """What the Ledger keeps of windows. `gate` holds writes back, `error` is what they fail with."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, int], WindowMark] = {}
        self.writes = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def mark_windows(self, marks: Sequence[WindowMark]) -> None:
        assert all(mark.used >= self._used(mark) for mark in marks)
        await self.settle_windows(marks)

    async def settle_windows(self, marks: Sequence[WindowMark]) -> None:
        self.writes += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.kept |= {(mark.key_id, mark.bucket, mark.length_s): mark for mark in marks}

    async def window_marks(self) -> list[WindowMark]:
        return list(self.kept.values())

    def _used(self, mark: WindowMark) -> int:
        kept = self.kept.get((mark.key_id, mark.bucket, mark.length_s))
        return kept.used if kept is not None and kept.number == mark.number else 0

    def used(self, key_id: KeyId, bucket: Bucket, length_s: int = 60) -> int:
        return self.kept[key_id, bucket, length_s].used
