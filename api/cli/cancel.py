"""`infernet cancel`: ends jobs that are not wanted any more."""

from typing import Annotated

import typer

from api.cli import exits
from api.cli.client import connect
from api.cli.completing import open_jobs
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json
from api.cli.responses import Json, RemoteError


def cancel(
    job_ids: Annotated[
        list[str], typer.Argument(metavar="JOB...", help="The jobs' ids, each whole.", autocompletion=open_jobs)
    ],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Cancel jobs that have not ended. What they have used so far counts."""
    cancelled: list[Json] = []
    failed = 0
    with connect(url, key, state) as client:
        for job_id in job_ids:
            try:
                cancelled.append(client.cancel(job_id))
            except RemoteError as error:
                # The others are to be cancelled all the same.
                exits.say(str(error) if job_id in error.message else f"{job_id}: {error}")
                failed = failed or exits.code(error)
                continue
            if not as_json:
                print(f"{job_id} is cancelled")
    if as_json:
        show_json({"jobs": cancelled})
    if failed:
        raise typer.Exit(failed)
