"""`infernet up`: the whole system in the foreground."""

import os
from pathlib import Path
from typing import Annotated

import typer

from api.cli.connection import StateOption, state_folder


def up(
    config_file: Annotated[Path | None, typer.Option("--config", help="The settings, a YAML file.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    model: Annotated[str | None, typer.Option(help="Serve this one model: a hub id or a folder.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster rather than start one.")] = None,
    state: StateOption = None,
) -> None:
    """Run the network in the foreground. Ctrl-C drains and stops it."""
    # Ray takes seconds to import, which the commands that only talk to a server do without.
    from api.cli.run import foreground

    foreground.serve(config_file, host, port, model, ray_address, state_folder(state, os.environ))
