"""`infernet nodes`: the machines of the cluster."""

from typing import Annotated

import typer

from api.cli.client import connect
from api.cli.connection import KeyOption, StateOption, UrlOption
from api.cli.render import show_json, show_nodes


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
