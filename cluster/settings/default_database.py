"""The database of a system whose settings name none: a file in its state folder."""

from pathlib import Path


def default_database(folder: Path) -> str:
    return f"sqlite:///{folder.resolve() / 'infernet.db'}"
