"""`infernet models`: the catalogue, how many replicas of a model there may be, and new ones in their place."""

from typing import Annotated
from urllib.parse import quote

import typer

from api.cli import completing
from api.cli.client import Client, connect
from api.cli.groups import Listing
from api.cli.naming import one_of
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json, show_models

models = typer.Typer(cls=Listing, help="Models: list, scale and restart them. Alone, it lists them.")

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Its id, or how it begins.", autocompletion=completing.models)
]


@models.command("list")
def list_models(
    as_json: JsonOption = False,
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


@models.command()
def scale(
    model: ModelArgument,
    least: Annotated[int | None, typer.Option("--min", min=0, help="So many replicas there are at least.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="So many there are at most.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Set how many replicas of a model there may be. Between the two, they follow the jobs. For admins."""
    replicas = {name: bound for name, bound in (("min", least), ("max", most)) if bound is not None}
    if not replicas:
        raise typer.BadParameter("give --min, --max or both")
    if least is not None and most is not None and least > most:
        raise typer.BadParameter(f"--min {least} is more than --max {most}")
    with connect(url, key, state) as client:
        model_id = _chosen(client, model)
        changed = client.send("PATCH", _path(model_id), {"replicas": replicas})
    if as_json:
        show_json(changed)
    else:
        bounds = " and ".join(f"at {'least' if name == 'min' else 'most'} {bound}" for name, bound in replicas.items())
        print(f"{model_id} has {bounds} replicas from now on")


@models.command()
def restart(
    model: ModelArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Replace a model's replicas by new ones, one after the other: its jobs go on. For admins."""
    with connect(url, key, state) as client:
        model_id = _chosen(client, model)
        answer = client.send("POST", f"{_path(model_id)}/restart")
    if as_json:
        show_json(answer)
    else:
        print(f"The replicas of {model_id} are being replaced: `infernet models` shows how far that is")


def _chosen(client: Client, model: str) -> str:
    return str(one_of("model", model, client.models(all=True)["models"])["id"])


def _path(model_id: str) -> str:
    return f"/models/{quote(model_id, safe='')}"
