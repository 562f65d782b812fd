"""`infernet doctor`: looks at all that a system needs, and ends with a job."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.connection import state_folder
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json

if TYPE_CHECKING:
    from api.cli.doctor.findings import Finding

# What looks at things is imported where it is needed: other commands do without.

_AREAS = (
    *("python", "ray", "vllm", "cluster", "gpus", "memory", "disk", "limits", "clock", "proxies", "settings", "state"),
    *("leftovers", "database", "ports", "job"),
)
_JOB = "job"
_CLUSTER = "cluster"


def doctor(
    config_file: Annotated[Path | None, typer.Option("--config", help="The settings, as for `infernet up`.")] = None,
    host: Annotated[str | None, typer.Option(help="As of `infernet up`.")] = None,
    port: Annotated[int | None, typer.Option(help="As of `infernet up`.")] = None,
    model: Annotated[str | None, typer.Option(help="As of `infernet up`.")] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="As of `infernet up`: look at this Ray cluster, and at what joins it here.")
    ] = None,
    start: Annotated[
        bool, typer.Option("--start", help="Start a system of its own for the job, and stop it: about a minute.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="AREA", help=f"Look at this alone: {', '.join(_AREAS)}. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Look at this machine: software, GPUs, disks, clock, ports, database, and a real job. Exits with 1 for a fault.

    Nothing is changed. The job is done by the system that runs, if one does, or with --start by one of its own.
    """
    from api.cli.doctor.examination import AREAS, examined
    from api.cli.doctor.findings import Status, summary
    from api.cli.doctor.shown import show
    from api.cli.doctor.subject import Subject
    from api.cli.settings import flags_layer

    areas = _areas(only, ray_address)
    folder = state_folder(state, os.environ)
    subject = Subject.of(config_file, flags_layer(config_file, host, port, model), os.environ, folder, ray_address)

    def look() -> "Iterator[Finding]":
        yield from examined(subject, [area for area in areas if area in AREAS])
        if start:
            from api.cli.doctor import trial

            yield from trial.run(os.environ)
        elif _JOB in areas:
            yield from _of_the_system(url, key, folder)

    findings: list[Finding] = []
    for finding in look():
        findings.append(finding)
        if not as_json:
            show(finding)
    healthy = all(finding.status is not Status.FAULT for finding in findings)
    if as_json:
        show_json({"healthy": healthy, "findings": [_body(finding) for finding in findings]})
    else:
        print(f"\n{summary(findings)}.")
    if not healthy:
        raise typer.Exit(1)


def _areas(only: list[str] | None, ray_address: str | None) -> list[str]:
    unknown = [area for area in only or () if area not in _AREAS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(_AREAS)}", param_hint="--only")
    if _CLUSTER in (only or ()) and ray_address is None:
        raise typer.BadParameter("cluster is that of --ray-address", param_hint="--only")
    return [area for area in _AREAS if not only or area in only]


def _of_the_system(url: str | None, key: str | None, folder: Path) -> "Iterator[Finding]":
    """The job of the system that is named, or runs with this state folder."""
    from api.cli.client import Client
    from api.cli.connection import resolve
    from api.cli.doctor import job
    from api.cli.doctor.findings import fault, ok
    from api.cli.run import runs
    from cluster.errors import ConfigError
    from cluster.settings.environment import given

    if not url and not given(os.environ, "INFERNET_URL") and not runs.is_claimed(folder):
        yield ok(_JOB, "no system runs with this state folder, so that no job was tried: --start starts one for it")
        return
    try:
        connection = resolve(url, key, folder, os.environ)
    except ConfigError as error:
        yield fault("server", str(error), "give --url and --key, or wait until `infernet up` says where it serves")
        return
    with Client(connection) as client:
        yield from job.run(client)


def _body(finding: "Finding") -> dict[str, str]:
    body = {"area": finding.area, "status": finding.status.value, "said": finding.said}
    return body if finding.cure is None else {**body, "cure": finding.cure}
