"""Process 1 of a machine: makes it look like one, runs its sshd, and reaps what ends there.

Run by `machines.py` in namespaces of its own; it knows nothing of this project, and needs nothing but Python.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# What each machine has of its own. Everything else is the real machine's, which nothing there may change.
HOME, TEMP, SHARED_MEMORY = "/root", "/tmp", "/dev/shm"
_SSHD = (
    "-D",
    "-e",
    "-o",
    "PidFile=none",
    "-o",
    "UsePAM=no",
    "-o",
    "PasswordAuthentication=no",
    "-o",
    "StrictModes=no",
    "-o",
    "MaxStartups=100",
)


def main() -> None:
    """`first_process.py NAME FOLDER SHOWN`: `SHOWN` is a JSON list of folders to be seen as they are."""
    name, folder, shown = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    socket.sethostname(name)
    _mount("-t", "proc", "proc", "/proc")
    for hidden in (HOME, TEMP):
        _mount("--rbind", _with_shown(folder / hidden[1:], hidden, shown), hidden)
    _mount("-t", "tmpfs", "-o", "size=1g", "tmpfs", SHARED_MEMORY)
    Path("/run/sshd").mkdir(exist_ok=True)
    keys = ("-h", f"{HOME}/hostkey", "-o", f"AuthorizedKeysFile={HOME}/.ssh/authorized_keys")
    subprocess.Popen(["/usr/sbin/sshd", *_SSHD, *keys])
    while True:
        os.wait()  # sshd's end would be the end of this process's children, and so of the machine


def _with_shown(own: Path, hidden: str, shown: Sequence[str]) -> Path:
    """The machine's own folder, with what is to be seen of the one that it hides."""
    for path in shown:
        if path.startswith(f"{hidden}/"):
            place = own / path.removeprefix(f"{hidden}/")
            place.mkdir(parents=True, exist_ok=True)
            _mount("--bind", path, place)
    return own


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main()
