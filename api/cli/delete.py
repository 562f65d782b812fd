"""`infernet delete`: removes a job that has ended."""

from typing import Annotated

import typer

from api.cli import completing
from api.cli.client import connect
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json


def delete(
    job_id: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="The job's id; `infernet jobs` lists them.", autocompletion=completing.ended_jobs
        ),
    ],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Remove a job that has ended: its prompt, its texts and how it was placed. What it used stays in the usage."""
    with connect(url, key, state) as client:
        client.remove(job_id)
    if as_json:
        show_json({"removed": [job_id]})
    else:
        print(f"{job_id} is removed")
