"""`infernet backup` and `infernet db`: the database itself, with a system or without one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.connection import state_folder
from api.cli.options import JsonOption, StateOption
from api.cli.render import show_json
from cluster.clock import iso_utc
from cluster.settings import layers
from cluster.settings.defaults import default_database
from cluster.settings.references import resolved

if TYPE_CHECKING:
    from cluster.store.inspection import Inspection

# What reaches databases is imported where it is needed: commands that only talk to a server do without.

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The settings, a YAML file, as for `infernet up`.")]

db = typer.Typer(help="Look at the database, and bring its schema up to date.", no_args_is_help=True)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy is to be.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Copy the database into FILE, while the system runs or not. A system on a copy goes on from there."""
    from cluster.store.backup import back_up

    size = back_up(_database(config_file, state), file, force)
    if as_json:
        show_json({"file": str(file), "bytes": size})
    else:
        print(f"{file}: {size:,} bytes, checked")


@db.command()
def check(
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Say which schema the database has, whether a system uses it, and whether it is whole. Exits with 1 if not."""
    import msgspec

    from cluster.store.inspection import inspect

    found = inspect(_database(config_file, state))
    if as_json:
        show_json({**msgspec.to_builtins(found), "sound": found.is_sound})
    else:
        for line in _sentences(found):
            print(line)
    if not found.is_sound:
        raise typer.Exit(1)


@db.command()
def upgrade(as_json: JsonOption = False, config_file: ConfigOption = None, state: StateOption = None) -> None:
    """Bring the database's schema up to date, as the next start would. Refused while a system uses it."""
    from cluster.store.database import Database
    from cluster.store.inspection import schema_of

    url = _database(config_file, state)
    before, how = schema_of(url)
    Database(url).close()
    now, _ = schema_of(url)
    if as_json:
        show_json({"schema": now, "before": before})
    elif how == "current":
        print(f"The schema is {before}, the newest: nothing was to be done")
    else:
        print(f"The schema is {now} now; before there was {before or 'none'}")


def _database(config_file: Path | None, state: Path | None) -> str:
    """The URL that `infernet up` would use. Raises ConfigError."""
    given = layers.load(config_file, os.environ).database
    return resolved(given or default_database(state_folder(state, os.environ)), "database", os.environ)


def _sentences(found: "Inspection") -> list[str]:
    said = [f"Database {found.database}", _SCHEMAS[found.state].format(found=found)]
    since = f"; the last one began at {iso_utc(found.taken_ms)}" if found.taken_ms else ""
    said.append(("A system uses it" if found.in_use else "No system uses it") + f"{since}.")
    if found.state not in ("none", "newer"):
        said.append(f"{found.open_jobs:,} jobs are open, {found.ended_jobs:,} have ended.")
    if found.free_bytes:
        said.append(f"{found.free_bytes:,} bytes of the file are free, for what is written next.")
    return said + ([f"Wrong: {fault}." for fault in found.faults] or ["Nothing is wrong with it."])


_SCHEMAS = {
    "none": "It has no schema yet; {found.needed} is made at the first start.",
    "older": "Its schema is {found.schema}, and {found.needed} is needed: the next start, or `infernet db upgrade`.",
    "current": "Its schema is {found.schema}, the newest.",
    "newer": "Its schema is {found.schema}, which this software does not know: update the software.",
}
