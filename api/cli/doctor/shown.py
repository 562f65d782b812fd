"""Findings as a person reads them: a line each, and below what is not well what to do."""

import sys

import typer

from api.cli.doctor.findings import Finding, Status
from api.cli.render import one_line

_COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAULT: "red"}
_STATUS_WIDTH, _AREA_WIDTH = 9, 11


def show(finding: Finding) -> None:
    status = finding.status.ljust(_STATUS_WIDTH)
    if sys.stdout.isatty():
        status = typer.style(status, fg=_COLOURS[finding.status], bold=finding.status is not Status.OK)
    print(f"{status}{finding.area.ljust(_AREA_WIDTH)}{one_line(finding.said)}", flush=True)
    if finding.cure is not None:
        print(f"{' ' * (_STATUS_WIDTH + _AREA_WIDTH)}-> {one_line(finding.cure)}", flush=True)
