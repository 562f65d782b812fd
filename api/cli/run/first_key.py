"""The first admin key of a database: it is in the state folder before anything could make it the only way in."""

import os
from pathlib import Path

from cluster.keys import new_secret

_FILE = "first.key"


def kept(state: Path) -> str:
    """The key for a new database: what a start before this one made and did not come to tell, or else a new one.

    Only the folder's owner can read it.
    """
    path = state / _FILE
    if path.exists() and (key := path.read_text("utf-8").strip()):
        return key
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = new_secret()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


def forget(state: Path) -> None:
    """It has been told, or is no key of this database."""
    (state / _FILE).unlink(missing_ok=True)
