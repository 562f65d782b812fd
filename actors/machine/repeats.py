"""What a log is told again and again, so that an operator can read it, and a disk has room for it."""

import logging
from collections.abc import Callable
from time import monotonic

from actors.machine.log_lines import job_of

_WINDOW_S = 30.0
_SAME = 1
_ALIKE = 20
_MOST_KINDS = 1000


class _Count:
    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.told = 0
        self.untold = 0


class Repeats(logging.Filter):
    """Lets through, in half a minute, of warnings and errors the same text of a job once, and of one kind twenty.

    Of a kind are those that one place in the code writes. How many were left out is told with the next one.
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._same: dict[object, _Count] = {}
        self._alike: dict[object, _Count] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        kind = (record.pathname, record.lineno)
        same = self._count(self._same, (*kind, record.getMessage(), job_of(record)))
        alike = self._count(self._alike, kind)
        if same.told >= _SAME or alike.told >= _ALIKE:
            same.untold += 1
            return False
        same.told += 1
        alike.told += 1
        if same.untold:
            record.msg, record.args = f"{record.getMessage()} ({same.untold} more like it)", ()
            same.untold = 0
        return True

    def _count(self, counts: dict[object, _Count], of: object) -> _Count:
        now_s = self._now_s()
        count = counts.get(of)
        if count is not None and now_s - count.began_s >= _WINDOW_S:
            count.began_s, count.told = now_s, 0
        if count is None:
            if len(counts) >= _MOST_KINDS:
                counts.clear()
            count = counts[of] = _Count(now_s)
        return count
