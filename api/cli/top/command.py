"""`infernet top`: models, queue, nodes and running jobs, live."""

import sys
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.live import Live

from api.cli.client import Client, connect
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import one_line, plain_console, show_json
from api.cli.responses import RemoteError
from api.cli.top.glance import Glance, look
from api.cli.top.screen import drawn
from api.cli.top.terminal import keyboard

_QUIT = "qQ\x04"


def top(
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.5, metavar="SECONDS", help="Look again after so long.")
    ] = 2.0,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Watch a system at work: models, queue, tokens, machines and running jobs. q or Ctrl-C ends it.

    Where there is no terminal, what it does now is printed once.
    """
    with connect(url, key, state) as client:
        glance = look(client)
        if as_json:
            show_json(
                {
                    "url": glance.url,
                    "ready": glance.ready,
                    "models": glance.models,
                    "nodes": glance.nodes,
                    "jobs": glance.jobs,
                    "minutes": glance.minutes,
                }
            )
        elif sys.stdin.isatty() and sys.stdout.isatty():
            _watch(client, glance, interval_s)
        else:
            plain_console().print(drawn(glance))


def _watch(client: Client, glance: Glance, interval_s: float) -> None:
    console = Console(markup=False, emoji=False, highlight=False)
    trouble: str | None = None
    with keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(drawn(glance, console.height, trouble), refresh=True)
            if set(keys.pressed(interval_s)) & set(_QUIT):
                return
            try:
                glance, trouble = look(client), None
            except (RemoteError, httpx.HTTPError) as error:
                # It may be back by the next look; what is shown is what was so then.
                trouble = one_line(f"As of {glance.now:%H:%M:%S}: {str(error) or type(error).__name__}; asking again")
