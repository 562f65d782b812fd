"""The files of a run's log, and what is written to them from now on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from actors.machine import logs
from api.cli.run import kept_logs
from cluster.errors import NotFound


def runs(state: Path) -> list[Path]:
    """The folders of the runs that are remembered, the latest last. Raises NotFound where there is none."""
    found = sorted({path.parent for path in (state / kept_logs.FOLDER).glob(f"*/{kept_logs.NAME}*")})
    if not found:
        raise NotFound(f"No run has written a log in {state}: --state names the folder that `infernet up` was given")
    return found


def written(run: Path) -> Iterator[str]:
    """All lines of a run, the oldest first: what was moved away comes before."""
    log = run / kept_logs.NAME
    for file in [*(log.with_name(f"{log.name}.{number}") for number in range(logs.KEPT, 0, -1)), log]:
        if file.exists():
            with file.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    yield line.rstrip("\n")


class Tail:
    """What is written to the latest run's log from now on, also after it was moved away, and after another start."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._rest = ""
        self._file = self._opened()
        self._file.seek(0, 2)

    def read(self) -> list[str]:
        """The lines that were finished since the last call."""
        new = self._file.read()
        if not new and self._has_another():
            self._file.close()
            self._file = self._opened()
            new = self._file.read()
        *lines, self._rest = (self._rest + new).split("\n")
        return lines

    def close(self) -> None:
        self._file.close()

    def _opened(self) -> IO[str]:
        return (runs(self._state)[-1] / kept_logs.NAME).open(encoding="utf-8", errors="replace")

    def _has_another(self) -> bool:
        try:
            latest = (runs(self._state)[-1] / kept_logs.NAME).stat()
        except FileNotFoundError:  # it was moved away, and nothing has been written since
            return False
        return not os.path.samestat(latest, os.fstat(self._file.fileno()))
