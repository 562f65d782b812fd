"""`infernet explain`: why a job waits, or ran where it ran."""

from typing import Annotated

import typer

from api.cli.client import connect
from api.cli.connection import KeyOption, StateOption, UrlOption
from api.cli.explaining import sentences
from api.cli.render import one_line, show_json


def explain(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id; `infernet jobs` lists them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's JSON.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Say why a job waits, or ran where it ran: whose turn it is, what rules each engine out, and every attempt."""
    with connect(url, key, state) as client:
        job, placement = client.job(job_id), client.placement(job_id)
        if as_json:
            show_json({"job": job, "placement": placement})
        else:
            for sentence in sentences(job, placement, client.server_time()):
                print(one_line(sentence))
