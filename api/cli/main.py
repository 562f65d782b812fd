"""The command line `infernet`."""

import io
import sys

import httpx
import typer

from api.cli.answers import RemoteError
from api.cli.chat import chat
from api.cli.demo import demo
from api.cli.lists import jobs, models, nodes, status
from api.cli.render import one_line
from api.cli.up import up
from cluster.errors import InfernetError

_INTERRUPTED = 130

app = typer.Typer(
    name="infernet",
    help="LLM inference on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (up, demo, status, chat, jobs, models, nodes):
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
