"""The clock: time limits, expiry, retention and usage by day go by it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from api.cli.doctor.findings import Finding, fault, ok
from api.cli.doctor.subject import Subject

_AREA = "clock"
_SLACK_S = 60.0
_CURE = "set it, and keep it: `timedatectl set-ntp true`, or run chrony"


def look(subject: Subject) -> Iterator[Finding]:
    """Nobody here knows what time it is; but nothing can have been written later than now."""
    now_s = time.time()
    path, written_s = max(_written(subject.folder), key=lambda each: each[1])
    if written_s > now_s + _SLACK_S:
        said = f"it says {_shown(now_s)}, but {path} was written at {_shown(written_s)}: it is, or was, wrong"
        yield fault(_AREA, said, f"{_CURE}; if it is right now, `touch` that file")
    else:
        yield ok(_AREA, f"{_shown(now_s)}, and nothing has been written after that")


def _written(folder: Path) -> Iterator[tuple[Path, float]]:
    """What was written with this clock, and when: this software, the database, the logs of runs."""
    yield Path(__file__), Path(__file__).stat().st_mtime
    for path in folder.glob("*"):
        if path.is_file():
            yield path, path.stat().st_mtime


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
