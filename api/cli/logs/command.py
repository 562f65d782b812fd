"""`infernet logs`: reads infernet.log of the state folder, of this run and of earlier ones."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from enum import StrEnum
from typing import Annotated

import typer

from api.cli import completing
from api.cli.connection import state_folder
from api.cli.logs import files
from api.cli.logs.entries import Entry, Filter, entries
from api.cli.options import JsonOption, StateOption
from api.cli.times import iso, past

_LOOK_S = 0.25
_COLOURS = {"warning": typer.colors.YELLOW, "error": typer.colors.RED, "critical": typer.colors.RED}


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    level: Annotated[Level, typer.Option("--level", help="So grave, or more.")] = Level.DEBUG,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="What names this job.", autocompletion=completing.jobs)
    ] = None,
    request: Annotated[str | None, typer.Option("--request", metavar="ID", help="What names this request.")] = None,
    part: Annotated[
        str | None, typer.Option("--part", metavar="PART", help="Of this part: supervisor, ledger, ingress, node, ...")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Since 2026-04-30T14:23:41Z, or 10m ago; any run.")
    ] = None,
    run: Annotated[
        int, typer.Option("--run", min=0, max=4, help="Of an earlier run: 1 is the one before the latest.")
    ] = 0,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="The last so many; 0 for all.")] = 200,
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Show what the system's processes wrote: the latest run's log, or an earlier one's."""
    folder = state_folder(state, os.environ)
    wanted = Filter(level, part, job, request, None if since is None else iso(past(since, "--since")))
    if follow and run:
        raise typer.BadParameter("an earlier run writes nothing more", param_hint="--follow")
    known = files.runs(folder)
    if run >= len(known):
        raise typer.BadParameter(f"{len(known)} runs are remembered", param_hint="--run")
    chosen = known if since and not run else [known[-1 - run]]
    # Opened before what is there is read, so that nothing between the two is missed.
    with closing(files.Tail(folder)) as tail:
        told = (entry for folder in chosen for entry in entries(files.written(folder)) if wanted.wants(entry))
        for entry in deque(told, lines) if lines else told:
            _show(entry, as_json)
        if follow:
            for entry in _following(tail):
                if wanted.wants(entry):
                    _show(entry, as_json)


def _following(tail: files.Tail) -> Iterator[Entry]:
    """Ends only when it is interrupted."""
    while True:
        if new := tail.read():
            yield from entries(new)
        else:
            time.sleep(_LOOK_S)


def _show(entry: Entry, as_json: bool) -> None:
    if as_json:
        print(json.dumps(entry.as_json(), ensure_ascii=False), flush=True)
        return
    text = "\n".join(_printable(entry.lines))
    if sys.stdout.isatty() and (colour := _COLOURS.get(entry.level)):
        text = typer.style(text, fg=colour)
    print(text, flush=True)


def _printable(lines: Iterable[str]) -> Iterator[str]:
    """Without what could steer a terminal; indented as they are."""
    for line in lines:
        yield "".join(char if char.isprintable() or char == "\t" else "?" for char in line)
