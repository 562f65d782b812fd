"""`infernet nodes`: the machines, and taking one out of work without hurting its jobs."""

from typing import Annotated

import typer

from api.cli import completing
from api.cli.client import Client, connect
from api.cli.groups import Listing
from api.cli.naming import one_of
from api.cli.nouns.draining import wait_until_idle
from api.cli.options import JsonOption, KeyOption, StateOption, TimeoutOption, UrlOption
from api.cli.render import show_json, show_nodes
from api.cli.top.glance import running_of

nodes = typer.Typer(cls=Listing, help="Machines: list, drain and undrain them. Alone, it lists them.")

NodeArgument = Annotated[
    str,
    typer.Argument(
        metavar="NODE", help="Its id or its host's name, or how either begins.", autocompletion=completing.nodes
    ),
]


@nodes.command("list")
def list_nodes(
    as_json: JsonOption = False,
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


@nodes.command()
def drain(
    node: NodeArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Until none of its jobs runs there any more.")] = False,
    timeout_s: TimeoutOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Give a machine no more jobs; those that run there end, or go on elsewhere. For admins."""
    with connect(url, key, state) as client:
        chosen = node_id(client, node)
        answer = client.send("POST", f"/nodes/{chosen}/drain")
        if wait:
            answer = wait_until_idle(client, chosen, timeout_s, shown=not as_json)
    if as_json:
        show_json(answer)
    elif wait:
        print(f"{chosen} is {answer.get('status')}: none of its jobs runs there any more")
    else:
        running = running_of(answer)
        print(f"{chosen} drains: {running} of its jobs {'runs' if running == 1 else 'run'}")


@nodes.command()
def undrain(
    node: NodeArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Give a machine jobs again. For admins."""
    with connect(url, key, state) as client:
        chosen = node_id(client, node)
        answer = client.send("POST", f"/nodes/{chosen}/undrain")
    if as_json:
        show_json(answer)
    else:
        print(f"{chosen} is {answer.get('status')}")


def node_id(client: Client, node: str) -> str:
    """The id of the node that is meant."""
    named = [{**each, "name": each.get("hostname", "")} for each in client.nodes()["nodes"]]
    return str(one_of("node", node, named)["id"])
