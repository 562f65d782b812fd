"""`infernet delete`: removes a job that has ended."""

from typing import Annotated

import typer

from api.cli import completing
from api.cli.client import connect
from api.cli.options import KeyOption, StateOption, UrlOption


def delete(
    job_id: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="The job's id; `infernet jobs` lists them.", autocompletion=completing.ended_jobs
        ),
    ],
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Remove a job that has ended: its prompt, its texts and how it was placed. What it used stays in the usage."""
    with connect(url, key, state) as client:
        client.remove(job_id)
    print(f"{job_id} is removed")
