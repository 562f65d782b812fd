"""`infernet models`: the catalogue and what of it is ready."""

from typing import Annotated

import typer

from api.cli.client import connect
from api.cli.connection import KeyOption, StateOption, UrlOption
from api.cli.render import show_json, show_models


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
