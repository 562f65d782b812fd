"""`infernet jobs`: what has been asked for lately."""

from typing import Annotated

import typer

from api.cli.client import connect
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_jobs, show_json
from cluster.job_states import JobState


def jobs(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many jobs.")] = 20,
    status: Annotated[JobState | None, typer.Option("--status", help="Only jobs in this state.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List your account's latest jobs, newest first."""
    with connect(url, key, state) as client:
        body = client.jobs(limit=limit, status=status)
    if as_json:
        show_json(body)
    else:
        show_jobs(body["jobs"])
