"""How many files and processes this user may have."""

import resource
from collections.abc import Iterator
from pathlib import Path

from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject
from api.cli.run.door.limits import Limits, open_files
from cluster.settings.sections.server import Server

_AREA = "limits"
_FEW_CONNECTIONS = 100
# Ray, Serve, and vLLM's libraries begin some hundred threads each.
_LEAST_PROCESSES = 2_000
_GROUP_LIMIT = Path("/sys/fs/cgroup/pids.max")
_FILES_CURE = "`ulimit -n 131072` before the start, LimitNOFILE=131072 (systemd), `docker run --ulimit nofile=131072`"
_PROCESSES_CURE = "`ulimit -u 65536` before the start, TasksMax=infinity (systemd), `docker run --pids-limit -1`"


def look(subject: Subject) -> Iterator[Finding]:
    files = open_files()
    found = Limits.of(subject.settings.server if subject.settings else Server(), files)
    said = f"{files:,} open files: {found.connections:,} connections at once"
    if found.connections < _FEW_CONNECTIONS:
        yield fault(_AREA, said, _FILES_CURE)
    elif found.shortage:
        yield warning(_AREA, f"{said}, not {found.wanted:,}", f"{_FILES_CURE}, or set server.max_connections")
    else:
        yield ok(_AREA, said)
    most = _processes()
    if most is not None and most < _LEAST_PROCESSES:
        yield fault(_AREA, f"{most:,} processes and threads, and {_LEAST_PROCESSES:,} are needed", _PROCESSES_CURE)
    else:
        yield ok(_AREA, "as many processes as it likes" if most is None else f"{most:,} processes and threads")


def _processes() -> int | None:
    """How many processes and threads there may be, of this user and of the container; None for any number."""
    of_user = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    limits = [] if of_user == resource.RLIM_INFINITY else [of_user]
    if _GROUP_LIMIT.exists() and (text := _GROUP_LIMIT.read_text().strip()).isdecimal():
        limits.append(int(text))
    return min(limits, default=None)
