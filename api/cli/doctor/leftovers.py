"""Processes that outlived their run, and other Rays of this machine."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress

import psutil

from api.cli.doctor.findings import Finding, ok, warning
from api.cli.doctor.subject import Subject
from api.cli.run import runs

_AREA = "leftovers"
_PROGRAM = "infernet"
_RAY = ("raylet", "gcs_server")


def look(subject: Subject) -> Iterator[Finding]:
    found = False
    marked = _marked()
    own = runs.recorded(subject.folder)
    for run, processes in marked.items():
        if run == own and not runs.is_claimed(subject.folder):
            found = True
            said = f"the last run with this state folder was killed, and left behind: {_listed(processes)}"
            yield warning(_AREA, said, "`infernet up` ends them when it starts")
        elif run != own and not _has_its_program(processes):
            found = True
            said = f"a run in {run} was killed, and left behind: {_listed(processes)}"
            yield warning(_AREA, said, "start and stop `infernet up` with its state folder, or end them by their ids")
    if subject.ray_address is None and (others := _other_rays(marked)):
        found = True
        said = f"another Ray runs on this machine: {_listed(others)}"
        cure = "join it with --ray-address, or end it with `ray stop`: two Rays book the same processors and GPUs"
        yield warning(_AREA, said, cure)
    if not found:
        told = "no process outlived its run"
        yield ok(_AREA, told if subject.ray_address else f"{told}, and no other Ray runs here")


def _marked() -> Mapping[str, list[psutil.Process]]:
    """The processes of each run, by its mark."""
    by_run: dict[str, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter():
        if run := runs.run_of(process):
            by_run[run].append(process)
    return by_run


def _has_its_program(processes: list[psutil.Process]) -> bool:
    """Whether the `infernet` lives that began them: the first of them are its children."""
    for process in processes:
        with suppress(psutil.Error):
            parent = process.parent()
            if parent and runs.run_of(parent) is None and any(_PROGRAM in text for text in parent.cmdline()):
                return True
    return False


def _other_rays(marked: Mapping[str, list[psutil.Process]]) -> list[psutil.Process]:
    ours = {process.pid for processes in marked.values() for process in processes}
    return [process for process in psutil.process_iter(["name"]) if process.pid not in ours and _is_ray(process)]


def _is_ray(process: psutil.Process) -> bool:
    return process.info["name"] in _RAY


def _listed(processes: list[psutil.Process]) -> str:
    named = [f"{_name(process)} ({process.pid})" for process in processes[:3]]
    more = len(processes) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.name()
    return "ended"
