"""The command line `infernet`: its commands, and how they fail."""

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from api.cli import exits
from api.cli.cancel import cancel
from api.cli.chat import chat
from api.cli.check import check
from api.cli.connection import state_folder
from api.cli.database import backup, db
from api.cli.delete import delete
from api.cli.doctor.command import doctor
from api.cli.explain import explain
from api.cli.groups import Helping
from api.cli.jobs import jobs
from api.cli.logs.command import logs
from api.cli.nouns.accounts import accounts
from api.cli.nouns.keys import keys
from api.cli.nouns.models import models
from api.cli.nouns.nodes import nodes
from api.cli.nouns.usage import usage
from api.cli.nouns.webhooks import webhooks
from api.cli.options import StateOption
from api.cli.plan import plan
from api.cli.status import status
from api.cli.top.command import top

app = typer.Typer(
    name="infernet",
    help="LLM inference on your own machines.",
    cls=Helping,
    pretty_exceptions_enable=False,
)


# What `--help` shows together.
_RUN, _LOOK, _ASK, _ADMINISTER, _DATA, _CLUSTER = (
    "Run a system",
    "Look at one",
    "Ask it, and see to jobs",
    "Administer it",
    "Data and planning",
    "On the machines of a cluster",
)

# Ray takes seconds to import, which the commands that only talk to a server do without.


@app.command(rich_help_panel=_RUN)
def up(
    config_file: Annotated[Path | None, typer.Option("--config", help="The settings, a YAML file.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    model: Annotated[str | None, typer.Option(help="Serve this one model: a hub id or a folder.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster rather than start one.")] = None,
    state: StateOption = None,
) -> None:
    """Run the network in the foreground. Ctrl-C drains and stops it."""
    from api.cli.run import guard

    folder = state_folder(state, os.environ)

    def serve() -> None:
        from api.cli.run import foreground

        foreground.serve(config_file, host, port, model, ray_address, folder)

    sys.exit(guard.run(folder, serve))


@app.command(rich_help_panel=_CLUSTER)
def keep(
    config_file: Annotated[Path | None, typer.Option("--config", help="The settings, a YAML file.")] = None,
    ray_address: Annotated[str, typer.Option(help="The Ray cluster whose head this machine is.")] = "auto",
    background: Annotated[bool, typer.Option("--background", help="Go on there; keep.log tells the rest.")] = False,
    state: StateOption = None,
) -> None:
    """On a Ray cluster's head: run the network, and start it and Ray's gcs_server again when they end."""
    from api.cli.run import keep as keeping

    sys.exit(keeping.keep(config_file, ray_address, state_folder(state, os.environ), background))


@app.command(rich_help_panel=_CLUSTER)
def env(
    config_file: Annotated[Path | None, typer.Option("--config", help="The settings, for `server.max_...`.")] = None,
    state: StateOption = None,
) -> None:
    """Print the environment to start a cluster's Ray in, for a shell: eval "$(infernet env)"."""
    from api.cli.run import ray_environment
    from cluster.settings import layers

    server = layers.load(config_file, os.environ).server
    print(ray_environment.exports(state_folder(state, os.environ), os.environ, server), end="")


@app.command(rich_help_panel=_RUN)
def demo() -> None:
    """Start everything, ask one question, show the answer, and stop everything."""
    from api.cli.run import guard

    with tempfile.TemporaryDirectory(prefix="infernet-demo-") as folder:

        def show() -> None:
            from api.cli.run import demo

            demo.run(Path(folder))

        sys.exit(guard.run(Path(folder), show))


for _panel, _commands in (
    (_RUN, (check, doctor)),
    (_LOOK, (status, top, logs)),
    (_ASK, (chat, jobs, explain, cancel, delete)),
    (_ADMINISTER, (usage,)),
    (_DATA, (backup, plan)),
):
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
for _name, _group, _panel in (
    ("models", models, _ADMINISTER),
    ("nodes", nodes, _ADMINISTER),
    ("keys", keys, _ADMINISTER),
    ("accounts", accounts, _ADMINISTER),
    ("webhooks", webhooks, _ADMINISTER),
    ("db", db, _DATA),
):
    app.add_typer(_group, name=_name, rich_help_panel=_panel)


def main() -> None:
    """Run the command line, and end as `exits` says."""
    _print_anything()
    sys.exit(exits.code_of(lambda: app(prog_name="infernet", standalone_mode=False)))


def _print_anything() -> None:
    # A model may write what the terminal's encoding lacks; a question mark is better than no answer.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
