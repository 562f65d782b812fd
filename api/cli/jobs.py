"""`infernet jobs`: what has been asked for lately."""

from typing import Annotated

import typer

from api.cli import completing
from api.cli.client import Client, connect
from api.cli.nouns.accounts import account_id
from api.cli.nouns.keys import key_id
from api.cli.nouns.nodes import node_id
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_jobs, show_json
from api.cli.responses import Json
from api.cli.times import ago
from cluster.job_states import JobState

_ALL = "all"
_PAGE = 100


def jobs(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many jobs, of as many pages as it takes.")] = 20,
    status: Annotated[JobState | None, typer.Option("--status", help="Only jobs in this state.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Only of this model.", autocompletion=completing.models)
    ] = None,
    node: Annotated[
        str | None,
        typer.Option("--node", help="Only of this node, by id or name or beginning.", autocompletion=completing.nodes),
    ] = None,
    of_key: Annotated[
        str | None,
        typer.Option(
            "--of-key", help="Only with this key, by id or name or beginning.", autocompletion=completing.keys
        ),
    ] = None,
    error: Annotated[str | None, typer.Option("--error", help="Only what failed so, such as timeout.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Submitted then or later: 2026-04-30, or 12h ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Submitted before.")] = None,
    account: Annotated[
        str | None,
        typer.Option("--account", help="Another account's, or all. For admins.", autocompletion=completing.accounts),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List your account's latest jobs, newest first: those that are all of what is given."""
    with connect(url, key, state) as client:
        filters: dict[str, str | None] = {
            "status": status,
            "model": model,
            "node": node and node_id(client, node),
            "key": of_key and key_id(client, of_key),
            "error": error,
            "since": ago(since, "--since"),
            "until": ago(until, "--until"),
            "account": account if account in (None, _ALL) else account_id(client, account),
        }
        body = _listed(client, limit, filters)
    if as_json:
        show_json(body)
    else:
        show_jobs(body["jobs"])


def _listed(client: Client, limit: int, filters: dict[str, str | None]) -> Json:
    """As one page, however many it takes. A page that is not full may have more after it."""
    found: list[Json] = []
    cursor: str | None = None
    while True:
        page = client.jobs(limit=min(limit - len(found), _PAGE), **filters, cursor=cursor)
        found += page["jobs"]
        cursor = page.get("next_cursor")
        if cursor is None:
            return {"jobs": found}
        if len(found) >= limit:
            return {"jobs": found, "next_cursor": cursor}
