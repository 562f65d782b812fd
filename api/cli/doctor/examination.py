"""All that is looked at, in the order in which it is told."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import psutil

from api.cli.doctor import (
    clock,
    cluster,
    database,
    gpus,
    leftovers,
    limits,
    memory,
    ports,
    proxies,
    room,
    settings,
    software,
    state,
)
from api.cli.doctor.findings import Finding, fault
from api.cli.doctor.subject import Subject
from cluster.errors import InfernetError

Look = Callable[[Subject], Iterator[Finding]]

AREAS: Mapping[str, Look] = {
    "python": software.python,
    "ray": software.ray,
    "vllm": software.vllm,
    "cluster": cluster.look,
    "gpus": gpus.look,
    "memory": memory.look,
    "disk": room.look,
    "limits": limits.look,
    "clock": clock.look,
    "proxies": proxies.look,
    "settings": settings.look,
    "state": state.look,
    "leftovers": leftovers.look,
    "database": database.look,
    "ports": ports.look,
}


def examined(subject: Subject, areas: Sequence[str]) -> Iterator[Finding]:
    """What is found in these areas, each as soon as it has been looked at."""
    for area in areas:
        try:
            yield from AREAS[area](subject)
        except (OSError, psutil.Error, InfernetError) as error:
            yield fault(area, f"this could not be looked at: {error}", "see to what the message names, and look again")
