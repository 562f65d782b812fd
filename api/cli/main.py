"""The command line `infernet`: its commands, and how they fail."""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import httpx
import typer

from api.cli.chat import chat
from api.cli.connection import StateOption, state_folder
from api.cli.lists import jobs, models, nodes, status
from api.cli.render import one_line
from api.cli.responses import RemoteError
from cluster.errors import InfernetError

_INTERRUPTED = 130

app = typer.Typer(
    name="infernet",
    help="LLM inference on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


# Ray takes seconds to import, which the commands that only talk to a server do without.


@app.command()
def up(
    config_file: Annotated[Path | None, typer.Option("--config", help="The settings, a YAML file.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    model: Annotated[str | None, typer.Option(help="Serve this one model: a hub id or a folder.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster rather than start one.")] = None,
    state: StateOption = None,
) -> None:
    """Run the network in the foreground. Ctrl-C drains and stops it."""
    from api.cli.run import foreground

    foreground.serve(config_file, host, port, model, ray_address, state_folder(state, os.environ))


@app.command()
def demo() -> None:
    """Start everything, ask one question, show the answer, and stop everything."""
    from api.cli.run import demo

    demo.run()


for _command in (status, chat, jobs, models, nodes):
    app.command()(_command)


def main() -> None:
    """Run the command line. An expected failure is one line on stderr and exit code 1, Ctrl-C is 130."""
    _print_anything()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except (InfernetError, RemoteError, httpx.HTTPError, OSError) as error:
        print("infernet:", one_line(_reason(error)), file=sys.stderr)
        sys.exit(1)


def _reason(error: Exception) -> str:
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return f"Cannot reach {error.request.url}: {error}"
        case httpx.RequestError():
            return f"Lost the connection to {error.request.url}: {str(error) or type(error).__name__}"
        case _:
            return str(error)


def _print_anything() -> None:
    # A model may write what the terminal's encoding lacks; a question mark is better than no answer.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
