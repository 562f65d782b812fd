"""What a benchmark's own process needs before it starts servers."""

import resource
import signal
from collections.abc import Callable
from types import FrameType

_OPEN_FILES = 65_536


def raise_open_file_limit() -> None:
    """Every stream is an open file here and in each process it passes through; they inherit this limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def end_on_signals() -> None:
    """The first Ctrl-C or SIGTERM ends the benchmark, which then ends what it started; a second does not disturb it."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def end(number: int, _: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    handler: Callable[[int, FrameType | None], None] = end
    for number in numbers:
        signal.signal(number, handler)
