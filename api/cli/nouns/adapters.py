"""`infernet models adapters`: LoRA adapters of models, added and removed while these serve."""

from collections.abc import Iterable, Iterator
from typing import Annotated
from urllib.parse import quote

import typer

from api.cli import completing
from api.cli.client import connect
from api.cli.groups import Listing
from api.cli.nouns.addressing import ModelArgument, chosen_model, path_of
from api.cli.options import JsonOption, KeyOption, StateOption, UrlOption
from api.cli.render import show_json, show_table
from api.cli.responses import Json

adapters = typer.Typer(cls=Listing, help="A model's LoRA adapters: list, add and remove them. Alone, it lists them.")

PriceOption = Annotated[
    float | None,
    typer.Option(min=0, metavar="AMOUNT", help="Per million tokens; without one, they cost what the model's cost."),
]


@adapters.command("list")
def list_adapters(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Of this one alone.", autocompletion=completing.models),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """List the adapters of a model, or of all: who lists them, in how many engines they are, and why one cannot be."""
    with connect(url, key, state) as client:
        wanted = None if model is None else chosen_model(client, model)
        listed = [each for each in client.models(all=True)["models"] if wanted in (None, each["id"])]
    rows = list(_rows(listed))
    if as_json:
        show_json({"adapters": [{"model": of, **adapter} for of, adapter in rows]})
    else:
        show_adapters(rows)


@adapters.command()
def add(
    model: ModelArgument,
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="What jobs are to call it.")],
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A hub id, or a folder's whole path on the machines that serve."),
    ] = "",
    prompt_price: PriceOption = None,
    completion_price: PriceOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Add a LoRA adapter to a model, whose engines load it while they serve. For admins."""
    prices = {"prompt": prompt_price, "completion": completion_price}
    price = {name: amount for name, amount in prices.items() if amount is not None}
    body = {"id": adapter, "source": source} | ({"price": price} if price else {})
    with connect(url, key, state) as client:
        model_id = chosen_model(client, model)
        changed = client.send("POST", f"{path_of(model_id)}/adapters", body)
    if as_json:
        show_json(changed)
        return
    added = next((each for _, each in _rows([changed]) if each.get("id") == adapter), {})
    print(f"{model_id} has {adapter}{_but(added)}")


@adapters.command()
def remove(
    model: ModelArgument,
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="Its whole id.")],
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Remove an adapter that an admin has added. Jobs that were taken for it go on. For admins."""
    with connect(url, key, state) as client:
        model_id = chosen_model(client, model)
        client.send("DELETE", f"{path_of(model_id)}/adapters/{quote(adapter, safe='')}")
    if as_json:
        show_json({"removed": [adapter]})
    else:
        print(f"{model_id} has {adapter} no more; jobs that were taken for it go on")


def show_adapters(rows: Iterable[tuple[str, Json]]) -> None:
    show_table(
        ("MODEL", "ADAPTER", "SOURCE", "SET BY", "LOADED IN", "TOKENS/S", "REASON"),
        (
            (
                of,
                adapter.get("id"),
                adapter.get("source"),
                adapter.get("set_by"),
                adapter.get("engines"),
                adapter.get("avg_tokens_per_second"),
                adapter.get("state_message"),
            )
            for of, adapter in rows
        ),
    )


def _rows(models: Iterable[Json]) -> Iterator[tuple[str, Json]]:
    """Each adapter, after the id of its model."""
    for model in models:
        for adapter in model.get("adapters", []):
            yield str(model["id"]), adapter


def _but(adapter: Json) -> str:
    """What stands in its way, if anything."""
    return f", and takes no jobs for it yet: {adapter['state_message']}" if "state_message" in adapter else ""
