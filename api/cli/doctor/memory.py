"""Memory and processors, as far as this process may have them, and whether the models fit."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject

_AREA = "memory"
# Ray, Serve and the control plane are some twenty processes: 2 GiB together, before a model is loaded.
_LEAST = 1 << 30
_ENOUGH = 3 << 30
_CURE = "end what else uses it, or take a larger machine or a higher limit of the container"
# Of version 2 and of version 1.
_GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_GROUP_USES = (Path("/sys/fs/cgroup/memory.current"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"))


def look(subject: Subject) -> Iterator[Finding]:
    free, total = _memory()
    said = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB are free"
    if free < _LEAST:
        yield fault(_AREA, f"{said}, and the control plane alone takes about 2", _CURE)
    elif free < _ENOUGH:
        yield warning(_AREA, f"{said}: little is left for a model", _CURE)
    else:
        yield ok(_AREA, said)
    yield from _processors(subject)


def _processors(subject: Subject) -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    too_large = [model for model in (subject.settings.models if subject.settings else ()) if model.cpus > cores]
    for model in too_large:
        said = f"model {model.id} wants {model.cpus:g} CPUs, and the machine has {cores}"
        yield fault(_AREA, said, "write fewer under `cpus` of the model, or join a cluster")
    if not too_large:
        yield ok(_AREA, f"{cores} processors")


def _memory() -> tuple[int, int]:
    """Bytes that are free, and all there are: of the machine, or of the container where it may have fewer."""
    machine = psutil.virtual_memory()
    limit, used = _first_number(_GROUP_LIMITS), _first_number(_GROUP_USES)
    if limit is None or used is None or limit >= machine.total:
        return machine.available, machine.total
    return min(machine.available, limit - used), limit


def _first_number(files: tuple[Path, ...]) -> int | None:
    for file in files:
        if file.exists():
            text = file.read_text().strip()
            return int(text) if text.isdecimal() else None
    return None
