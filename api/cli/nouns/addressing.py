"""Where the API has a model, and which one is meant."""

from typing import Annotated
from urllib.parse import quote

import typer

from api.cli import completing
from api.cli.client import Client
from api.cli.naming import one_of

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Its id, or how it begins.", autocompletion=completing.models)
]


def path_of(model_id: str) -> str:
    """Where the API has a model, whose id may have slashes in it."""
    return f"/models/{quote(model_id, safe='')}"


def chosen_model(client: Client, model: str) -> str:
    """The id of the model that is meant. Raises as `one_of`."""
    return str(one_of("model", model, client.models(all=True)["models"])["id"])
