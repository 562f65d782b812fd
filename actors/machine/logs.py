"""How a process of ours writes its log: to that of the run, or else to stderr, which Ray keeps in a file per process.

All processes of a run write to one file. Each line is appended in one go, and whoever finds that the file was moved
away, as `rotate` does, goes on in a new one.
"""

import logging
import os
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import cast

from actors.machine import private_files
from actors.machine.log_lines import formatter
from actors.machine.repeats import Repeats
from cluster.settings.sections.logs import Logs

VARIABLE = "INFERNET_LOG"
"""The environment variable that names the log of the run, for the processes of its machine."""

BYTES = 16 * 1024 * 1024
"""How large the file gets before it is moved away, and how many of those are kept."""
KEPT = 3

_OURS = ("actors", "api", "cluster")
_ours: logging.Handler | None = None


def begin(part: str, settings: Logs = Logs()) -> None:
    """From now on every line has its time in UTC, its level, and which process wrote it. May be repeated.

    `part` is what the process is, and which one of several after a slash.
    """
    global _ours
    end()
    _ours = _handler()
    _ours.setFormatter(formatter(part, settings.format))
    _ours.addFilter(Repeats())
    logging.getLogger().addHandler(_ours)
    set_levels(part, settings)


def set_levels(part: str, settings: Logs) -> None:
    """Lines of ours are told from this part's level on. Those of others are told as they were."""
    kind = part.partition("/")[0]
    level = next((level for name, level in settings.levels.items() if name == kind), settings.level)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


def end() -> None:
    """Write nothing more."""
    global _ours
    if _ours is not None:
        logging.getLogger().removeHandler(_ours)
        _ours.close()
        _ours = None


def rotate(log: Path, longest: int = BYTES) -> None:
    """Move the file away when it has become too long, and remove the oldest of those. Only one process may."""
    if not log.exists() or log.stat().st_size < longest:
        return
    for number in range(KEPT, 0, -1):
        younger = _moved(log, number - 1)
        if younger.exists():
            younger.rename(_moved(log, number))


def _moved(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}") if number else log


def _handler() -> logging.Handler:
    if log := os.environ.get(VARIABLE):
        return _PrivateFile(log)
    return logging.StreamHandler()


class _PrivateFile(WatchedFileHandler):
    """A file that only its owner can read, whatever its folder lets others do."""

    def _open(self) -> TextIOWrapper:
        return cast(TextIOWrapper, private_files.opened(Path(self.baseFilename), self.mode))
