"""The folders that a run needs, and whether they can be used: said at once, in one line, before anything begins."""

import shutil
import tempfile
from pathlib import Path

from cluster.errors import StartError

STATE_BYTES = 32 << 20
TEMP_BYTES = 128 << 20
# HAProxy's sockets lie under it, in a folder named by Ray's 56 hex digits, and their paths may have 97 characters.
_LONGEST_TEMP = 8
_SHARED_MEMORY = Path("/dev/shm")


def require_state(state: Path) -> None:
    """The state folder, made if need be. Raises StartError when nothing can be kept there."""
    cure = "give another one with --state or INFERNET_STATE"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_writable(state)
    except OSError as error:
        raise StartError(f"cannot use the state folder {state}: {error.strerror}; {cure}") from None
    _require_room(state, STATE_BYTES)


def temporary() -> Path:
    """The folder that holds what a run leaves behind nowhere else. Raises StartError when there is none."""
    try:
        usual = Path(tempfile.gettempdir())
    except OSError as error:
        raise _no_temporary(str(error.strerror)) from None
    folder = usual if len(str(usual)) <= _LONGEST_TEMP else Path("/tmp")
    try:
        _require_writable(folder)
    except OSError as error:
        raise _no_temporary(f"{folder}: {error.strerror}") from None
    _require_room(folder, TEMP_BYTES)
    return folder


def require_shared_memory() -> None:
    """Raises StartError where processes cannot share memory, for which Ray would wait until its time is over."""
    if _SHARED_MEMORY.exists():
        try:
            _require_writable(_SHARED_MEMORY)
        except OSError as error:
            raise StartError(f"cannot use {_SHARED_MEMORY}, which Ray needs: {error.strerror}") from None


def _no_temporary(reason: str) -> StartError:
    cure = f"set TMPDIR to one whose path has {_LONGEST_TEMP} characters at most, such as /var/tmp"
    return StartError(f"no folder for temporary files: {reason}; {cure}")


def _require_writable(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        return


def _require_room(folder: Path, least: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < least:
        raise StartError(f"no room in {folder}: {free >> 20} MiB are free, and {least >> 20} are needed to begin")
