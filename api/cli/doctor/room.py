"""Disks: where a system writes, and whether there is room."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from actors.backends.sources import default_cache
from api.cli.doctor.findings import Finding, fault, ok, warning
from api.cli.doctor.subject import Subject
from api.cli.run import places
from cluster.catalogue import is_local
from cluster.errors import StartError

_AREA = "disk"
# Ray writes nothing more to a disk that is fuller than that.
_FULL = 0.95
_GIB = 1 << 30
_SHARED = Path("/dev/shm")


class Place(Struct, frozen=True):
    """Where a system writes: what for, with how much room it does not begin, and with how much it goes on for long."""

    path: Path
    what: str
    least: int
    enough: int
    cure: str


def look(subject: Subject) -> Iterator[Finding]:
    for place in _places(subject):
        yield _judged(place)


def _judged(place: Place) -> Finding:
    there = _nearest(place.path)
    usage = shutil.disk_usage(there)
    said = f"{place.path} ({place.what}): {_size(usage.free)} are free"
    if usage.free < place.least:
        return fault(_AREA, f"{said}, and {_size(place.least)} are needed to begin", place.cure)
    if not _has_files_left(there):
        return fault(_AREA, f"{said}, but no more files fit (inodes)", place.cure)
    if not os.access(there, os.W_OK):
        return fault(_AREA, f"{place.path} ({place.what}): nothing can be written there", place.cure)
    if usage.free < place.enough:
        return warning(_AREA, said, place.cure)
    if place.what == "Ray" and usage.used > _FULL * usage.total:
        full = f"{said}, and it is {usage.used / usage.total:.0%} full: Ray writes no objects there above 95 %"
        return warning(_AREA, full, place.cure)
    return ok(_AREA, said)


def _places(subject: Subject) -> Iterator[Place]:
    free = "make room there"
    yield Place(subject.folder, "state", places.STATE_BYTES, _GIB, f"{free}, or give --state another folder")
    try:
        temporary = places.temporary()
    except StartError:
        temporary = Path("/tmp")
    yield Place(temporary, "Ray", places.TEMP_BYTES, 2 * _GIB, f"{free}, or set TMPDIR=/var/tmp")
    if _SHARED.exists():
        cure = "give the container more, such as `docker run --shm-size=4g`"
        yield Place(_SHARED, "shared memory", 1 << 20, _GIB, cure)
    if _loads_from_a_hub(subject):
        yield Place(
            default_cache(subject.env), "weights", 1 << 20, 10 * _GIB, f"{free}, or set HF_HOME to another disk"
        )


def _loads_from_a_hub(subject: Subject) -> bool:
    return subject.settings is not None and any(
        model.backend == "vllm" and not is_local(model.source) for model in subject.settings.models
    )


def _nearest(path: Path) -> Path:
    """The folder, or the one in which it would be made."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _has_files_left(path: Path) -> bool:
    """A file system without a number of its own for them has no limit."""
    counts = os.statvfs(path)
    return counts.f_files == 0 or counts.f_favail > 0


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count >> 20} MiB"
