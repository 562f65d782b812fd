"""What the processes of a run write, kept for whoever asks why it ended: a folder for each of the last runs.

Our own processes write there from the start. What Ray and models print goes to the run's own folder, and is copied when
the run has ended, or when the next one begins.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path

RUNS = 5
"""So many runs are remembered, with this much of each log that is copied: its end."""
BYTES = 8 * 1024 * 1024

NAME = "infernet.log"
"""What our processes write."""

FOLDER = "logs"
_SESSION = "session_"
_TIME = "%Y-%m-%d_%H-%M-%S"
_TIME_CHARACTERS = len("2026-11-27_09-31-25")


def begin(state: Path) -> Path:
    """A folder for the logs of a run that begins now. Those of long ago are removed."""
    folder = state / FOLDER / datetime.now(UTC).strftime(_TIME)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in sorted(path for path in folder.parent.glob("*") if path.is_dir())[:-RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def keep(temp: Path, folder: Path) -> None:
    """Copy the logs of the Ray whose files are in `temp` to the run's folder."""
    for session in sorted((temp / "ray").glob(f"{_SESSION}*")):
        # Besides the sessions there is a link to the last one.
        if session.is_dir() and not session.is_symlink():
            name = session.name.removeprefix(_SESSION)[:_TIME_CHARACTERS]
            _copy(session / "logs", folder / f"ray_{name}")


def _copy(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for log in sorted(path for path in source.rglob("*") if path.is_file() and path.stat().st_size):
        place = target / log.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        with log.open("rb") as written, place.open("wb") as kept:
            place.chmod(0o600)
            written.seek(max(0, log.stat().st_size - BYTES))
            shutil.copyfileobj(written, kept)
