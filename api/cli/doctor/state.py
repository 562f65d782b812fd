"""The state folder: who may read it, who uses it, and whether what it tells can be read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from api.cli.connection import read
from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject
from api.cli.run import runs
from cluster.errors import ConfigError

_AREA = "state"
_ELSEWHERE = "give another one with --state or INFERNET_STATE"


def look(subject: Subject) -> Iterator[Finding]:
    folder = subject.folder
    if not folder.exists():
        yield ok(_AREA, f"{folder} is not there yet: the first start makes it")
        return
    if not folder.is_dir():
        yield fault(_AREA, f"{folder} is no folder", _ELSEWHERE)
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield fault(_AREA, f"{folder} is not yours to write in", f"chown it, or {_ELSEWHERE}")
        return
    yield from _secrets(folder)
    try:
        kept = read(folder)
    except ConfigError as error:
        yield fault(_AREA, str(error), "or give --url and --key, or INFERNET_URL and INFERNET_KEY")
        return
    used = "a system uses it" if runs.is_claimed(folder) else "no system uses it"
    yield ok(_AREA, f"{folder}: {used}" + (f"; the server is {kept.url}" if kept else ""))


def _secrets(folder: Path) -> Iterator[Finding]:
    """Keys and prompts are in it."""
    for path in sorted(folder.glob("*")):
        shared = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        if path.suffix in (".json", ".key", ".db") and shared and folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH):
            yield warning(_AREA, f"others on this machine can read {path}", f"chmod 600 {path}")
