"""`infernet jobs`, `models`, `nodes` and `status`: what the server has, as tables or as the API's JSON."""

from typing import Annotated

import typer

from api.cli.client import connect
from api.cli.connection import KeyOption, StateOption, UrlOption
from api.cli.render import show_jobs, show_json, show_models, show_nodes
from cluster.job_states import JobState


def jobs(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many jobs.")] = 20,
    status: Annotated[JobState | None, typer.Option("--status", help="Only jobs in this state.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's JSON.")] = False,
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


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's JSON.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List the catalogue: which models are ready, where, how fast, and why one failed."""
    with connect(url, key, state) as client:
        body = client.models(all=True)
    if as_json:
        show_json(body)
    else:
        show_models(body["models"])


def nodes(
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's JSON.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List the machines: their hardware, their engines and their last sign of life."""
    with connect(url, key, state) as client:
        body = client.nodes()
    if as_json:
        show_json(body)
    else:
        show_nodes(body["nodes"], client.server_time())


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Show whether the server is ready, its models and its machines. Exits with 1 when it is not ready."""
    with connect(url, key, state) as client:
        ready = client.ready()
        if as_json:
            show_json(
                {"url": client.url, "ready": ready, **client.models(all=True), **client.nodes()},
            )
        else:
            print(client.url, "is ready" if ready else "is not ready")
            print()
            show_models(client.models(all=True)["models"])
            print()
            show_nodes(client.nodes()["nodes"], client.server_time())
    if not ready:
        raise typer.Exit(1)
