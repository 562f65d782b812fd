"""Where the programs are that `make bench` installs apart from .venv, whose versions they would change."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "build" / "bench-peers"


def installed(name: str, file: str) -> Path:
    """The path of `file` in the environment of the peer `name`. Raises ChildProcessError when it is not installed."""
    path = FOLDER / name / file
    if not path.exists():
        reason = FOLDER / f"{name}.log"
        said = reason.read_text(errors="replace").strip() if reason.exists() else "run `make bench-peers`"
        raise ChildProcessError(f"{name} is not installed: {said}")
    return path
