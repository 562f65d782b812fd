"""Progress on the console: a line for each slow step, with its seconds."""

import sys
import time
from types import TracebackType

from rich.console import Console

# The terminal itself: `sys.stdout` is Ray's while it runs, which prints there from threads of its own.
console = Console(file=sys.__stdout__, highlight=False, soft_wrap=True)


class Step:
    """A slow step: said when it begins, and with its seconds when it is done."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._began_s = time.monotonic()
        console.print(f"{self._what} ... ", end="")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        console.print(f"{time.monotonic() - self._began_s:.1f} s" if kind is None else "not done")
