"""Something that goes down to nothing, while somebody waits: a bar on a terminal, else a line whenever it changes."""

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Countdown:
    """What is to be seen of it, on stderr; nothing unless `shown`. `what` is done to things that are `gone` then."""

    def __init__(self, what: str, gone: str, shown: bool) -> None:
        self._what = what
        self._shown = shown
        self._most = 0
        self._last: int | None = None
        self._bar = self._new_bar(gone) if shown and sys.stderr.isatty() else None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def tell(self, left: int, words: str) -> None:
        """So many are left; `words` say it where there is no bar."""
        self._most = max(self._most, left)
        if self._bar:
            self._bar.update(self._task, total=self._most, completed=self._most - left)
        elif self._shown and left and left != self._last:
            print(f"{self._what}: {words}", file=sys.stderr, flush=True)
        self._last = left

    def _new_bar(self, gone: str) -> Progress:
        columns = (TextColumn(self._what, markup=False), BarColumn(), MofNCompleteColumn(), TextColumn(f"{gone},"))
        return Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))
