"""`infernet explain`: why a job waits, or ran where it ran."""

import re
from typing import Annotated

import httpx
import typer

from api.cli import completing
from api.cli.client import Client, connect
from api.cli.explaining import sentences
from api.cli.naming import one_of
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import one_line, show_json
from api.cli.responses import Json, RemoteError

_MAY_BE_WHOLE = re.compile(r"job_[0-9a-f]{16,}")
_LATEST = 100


def explain(
    job_id: Annotated[
        str,
        typer.Argument(
            metavar="JOB",
            help="The job's id, or how it begins; `infernet jobs` lists them.",
            autocompletion=completing.jobs,
        ),
    ],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Say why a job waits, or ran where it ran: whose turn it is, what rules each engine out, and every attempt."""
    with connect(url, key, state) as client:
        job = _job(client, job_id)
        placement = client.placement(job["id"])
        if as_json:
            show_json({"job": job, "placement": placement})
        else:
            for sentence in sentences(job, placement, client.server_time()):
                print(one_line(sentence))


def _job(client: Client, given: str) -> Json:
    """The job of this id, or the only one of the latest that begins so."""
    if _MAY_BE_WHOLE.fullmatch(given):
        try:
            return client.job(given)
        except RemoteError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
    return client.job(str(one_of("job", given, client.jobs(limit=_LATEST)["jobs"])["id"]))
