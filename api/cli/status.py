"""`infernet status`: the server at a glance."""

import typer

from api.cli.client import connect
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json, show_models, show_nodes


def status(
    as_json: JsonOption = False,
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
