"""`infernet check`: whether a system would start with these settings. Nothing is started."""

import os
from pathlib import Path
from typing import Annotated

import typer

from api.cli.connection import state_folder
from api.cli.options import JsonOption, StateOption
from api.cli.render import show_json
from api.cli.settings import flags_layer, notes, read_secrets, read_settings
from cluster.errors import ConfigError, StartError
from cluster.settings.schema import Settings


def check(
    config_file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The settings, a YAML file.")] = None,
    host: Annotated[str | None, typer.Option(help="As of `infernet up`.")] = None,
    port: Annotated[int | None, typer.Option(help="As of `infernet up`.")] = None,
    model: Annotated[str | None, typer.Option(help="As of `infernet up`.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="As of `infernet up`: models may be elsewhere, then.")] = None,
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Tell every mistake in settings, with its line and column, and start nothing."""
    folder = state_folder(state, os.environ)
    try:
        flags = flags_layer(config_file, host, port, model)
        settings = read_settings(config_file, flags, os.environ, folder, here=ray_address is None)
        release, _ = read_secrets(settings, os.environ)
        _check_database(release.settings)
    except ConfigError as error:
        if not as_json:
            raise
        show_json({"mistakes": error.message.splitlines(), "notes": [], "models": []})
        raise typer.Exit(1) from None
    doubts = list(notes(settings, os.environ, ray_address))
    if as_json:
        show_json({"mistakes": [], "notes": doubts, "models": [each.id for each in settings.models]})
        return
    for note in doubts:
        print(f"Note: {note}")
    print(f"{config_file or 'The environment'}: no mistakes; serves {_listed(settings)} at {_door(settings)}")


def _check_database(settings: Settings) -> None:
    """Raises ConfigError for one that could not be opened, whatever is there. Connects to nothing."""
    from cluster.store.open import open_engine, parse  # which takes longer than all that other commands need

    try:
        open_engine(parse(settings.database)).dispose()
    except StartError as error:
        raise ConfigError(f"database: {error}") from None


def _listed(settings: Settings) -> str:
    return ", ".join(model.id for model in settings.models)


def _door(settings: Settings) -> str:
    return f"{settings.server.host} port {settings.server.port}"
