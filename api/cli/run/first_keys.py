"""The first admin key of a database: it is in the state folder before anything could make it the only way in."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from actors.machine import private_files
from api.cli.connection import Connection, read, write
from cluster.keys import new_secret

_FILE = "first.key"


class FirstKeys:
    """The keys by which the other commands may be let in at this URL, and where they are kept.

    `given` is what the first admin key is to be; without, one is made, or what a start before this one made and did not
    come to tell. Raises ConfigError for a URL or a key that cannot be used, and for a folder that cannot be read.
    """

    def __init__(self, folder: Path, url: str, given: str | None) -> None:
        self.url = url
        self._folder = folder
        self._before = read(folder)
        self._made = None if given else _kept(folder)
        self.first = given or self._made
        """The admin key of a database that has none."""
        if given:
            Connection(url, given)

    async def remember(self, told: str | None, is_ours: Callable[[str], Awaitable[bool]]) -> str | None:
        """Keep the first of the keys that is one of this system's, and give it if nobody has been told of it.

        `told` is what the Ledger made, where something else had it started.
        """
        before = self._before.key if self._before else None
        for key in (told, self.first, before):
            if key is not None and await is_ours(key):
                write(self._folder, Connection(self.url, key))
                _forget(self._folder)
                return key if key in (told, self._made) and key != before else None
        _forget(self._folder)
        return None


def _kept(folder: Path) -> str:
    """The key that is in the folder, or a new one that is now. Only the folder's owner can read it."""
    path = folder / _FILE
    if path.exists() and (key := path.read_text("utf-8").strip()):
        return key
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = new_secret()
    with private_files.opened(path, "w") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


def _forget(folder: Path) -> None:
    """It is in connection.json, or no key of this database."""
    (folder / _FILE).unlink(missing_ok=True)
