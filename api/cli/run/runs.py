"""One run at a time in a state folder, and the end of what a killed one left behind."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.cli.run import marked
from cluster.errors import StartError

_RUN_FILE = "run.json"
_LOCK_FILE = "lock"


@contextmanager
def claimed(state: Path) -> Iterator[None]:
    """This process alone uses the folder, until it ends, however it ends. What a killed run left is ended first.

    Raises StartError while another process uses it.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another `infernet up` uses the state folder {state}") from None
        clear(state)
        yield


def record(state: Path, temp: Path) -> None:
    """A run begins, whose processes are marked with, and whose files are in, the folder `temp`."""
    (state / _RUN_FILE).write_text(json.dumps({"temp": str(temp)}))


def clear(state: Path) -> None:
    """End the recorded run's processes and remove its files, if there is one."""
    run_file = state / _RUN_FILE
    if run_file.exists():
        temp = str(json.loads(run_file.read_text())["temp"])
        marked.end(temp)
        shutil.rmtree(temp, ignore_errors=True)
        run_file.unlink()
