"""What the processes of a run wrote, kept for whoever asks why it ended. The run's own folder goes with it."""

import shutil
from pathlib import Path

RUNS = 5
"""So many runs are remembered, with this much of each log: its end."""
BYTES = 8 * 1024 * 1024

_FOLDER = "logs"
_SESSION = "session_"
_TIME_CHARACTERS = len("2026-11-27_09-31-25")


def keep(temp: Path, state: Path) -> None:
    """Copy the logs of the Ray whose files are in `temp` to the state folder, and forget those of long ago."""
    for session in sorted((temp / "ray").glob(f"{_SESSION}*")):
        # Besides the sessions there is a link to the last one.
        if session.is_dir() and not session.is_symlink():
            name = session.name.removeprefix(_SESSION)[:_TIME_CHARACTERS]
            _copy(session / "logs", state / _FOLDER / name)
    for old in sorted(path for path in (state / _FOLDER).glob("*") if path.is_dir())[:-RUNS]:
        shutil.rmtree(old, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for log in sorted(path for path in source.rglob("*") if path.is_file() and path.stat().st_size):
        place = target / log.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        with log.open("rb") as written, place.open("wb") as kept:
            written.seek(max(0, log.stat().st_size - BYTES))
            shutil.copyfileobj(written, kept)
