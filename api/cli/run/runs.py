"""One run at a time in a state folder, and the end of what a killed one left behind.

Ray's workers, HAProxy and vLLM's engine cores can each outlive the process that should have ended them. All inherit
the environment of the run that started them, and in it a mark: so a run can end exactly what is its own, also what a
killed run before it left behind.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from actors.machine import private_files
from api.cli.run import kept_logs, places
from cluster.errors import StartError

MARK = "INFERNET_RUN"
"""The environment variable that names the run of a process."""

_RUN_FILE = "run.json"
_LOCK_FILE = "lock"
# What has to end well has ended by now: these are Ray's processes, and of ours those that hang or were cut off.
_GRACE_S = 2.0
_KILLED_S = 5.0
_ROUNDS = 10


@contextmanager
def claimed(state: Path) -> Iterator[None]:
    """This process alone uses the folder, until it ends, however it ends. What a killed run left is ended first.

    Raises StartError while another process uses it, and when it cannot be used.
    """
    places.require_state(state)
    with private_files.opened(state / _LOCK_FILE, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another `infernet up` uses the state folder {state}") from None
        clear(state)
        yield


def is_claimed(state: Path) -> bool:
    """Whether a process uses the folder now."""
    path = state / _LOCK_FILE
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def recorded(state: Path) -> str | None:
    """The mark of the run that began last with this folder, and was not cleared away."""
    run_file = state / _RUN_FILE
    return str(json.loads(run_file.read_text())["temp"]) if run_file.exists() else None


def record(state: Path, temp: Path, logs: Path) -> None:
    """A run begins, whose processes are marked with, and whose files are in, the folder `temp`.

    What Ray writes there is kept in the folder `logs`.
    """
    with private_files.opened(state / _RUN_FILE, "w") as file:
        json.dump({"temp": str(temp), "logs": str(logs)}, file)


def clear(state: Path) -> None:
    """End the recorded run's processes and remove its files, if there is one. Its logs are kept."""
    run_file = state / _RUN_FILE
    if run_file.exists():
        run = json.loads(run_file.read_text())
        temp = str(run["temp"])
        end(temp)
        # A version before this one did not say where its logs are to be.
        kept_logs.keep(Path(temp), Path(run["logs"]) if "logs" in run else kept_logs.begin(state))
        shutil.rmtree(temp, ignore_errors=True)
        run_file.unlink()


def processes(run: str) -> list[psutil.Process]:
    """The processes of this run, without the one that asks."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and run_of(process) == run]


def end(run: str) -> int:
    """End every process of this run, gently first. Returns how many there were."""
    found = processes(run)
    for process in found:
        _send(process, psutil.Process.terminate)
    psutil.wait_procs(found, timeout=_GRACE_S)
    for _ in range(_ROUNDS):
        # Looked for again: until all have ended, one may start another in the place of one that has.
        for process in (alive := processes(run)):
            _send(process, psutil.Process.kill)
        psutil.wait_procs(alive, timeout=_KILLED_S)
        if not alive:
            break
    return len(found)


def run_of(process: psutil.Process) -> str | None:
    """The run that a process belongs to, as far as this user may know."""
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        # Another user's process, or one that has just ended.
        return None


def _send(process: psutil.Process, signal: object) -> None:
    try:
        signal(process)  # type: ignore[operator]
    except psutil.NoSuchProcess:
        return
