"""`infernet models`: the catalogue, how many replicas of a model there may be, new ones, and its adapters."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from api.cli.client import connect
from api.cli.groups import Listing
from api.cli.nouns.adapters import adapters, show_adapters
from api.cli.nouns.addressing import ModelArgument, chosen_model, path_of
from api.cli.nouns.replacing import wait_until_replaced
from api.cli.options import JsonOption, KeyOption, StateOption, TimeoutOption, UrlOption
from api.cli.render import age, show_json, show_models, show_table
from api.cli.responses import Json

models = typer.Typer(cls=Listing, help="Models: list, show, scale and restart them. Alone, it lists them.")
models.add_typer(adapters, name="adapters")


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
def show(
    model: ModelArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Show a model: its replicas, how many there may be and why so many are wanted, and what failed last."""
    with connect(url, key, state) as client:
        body = client.read(path_of(chosen_model(client, model)))
        if as_json:
            show_json(body)
        else:
            _show(body, client.server_time())


@models.command()
def scale(
    model: ModelArgument,
    least: Annotated[int | None, typer.Option("--min", min=0, help="So many replicas there are at least.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="So many there are at most.")] = None,
    idle_s: Annotated[
        int | None,
        typer.Option(
            "--idle", min=1, metavar="SECONDS", help="With --min 0: the last ends after so long without a job."
        ),
    ] = None,
    as_settings: Annotated[bool, typer.Option("--as-settings", help="Back to what the settings say.")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Set how many replicas of a model there may be. Between the two, they follow the jobs. For admins."""
    asked = (("min", least), ("max", most), ("idle_s", idle_s))
    bounds = {name: bound for name, bound in asked if bound is not None}
    if bool(bounds) == as_settings:
        raise typer.BadParameter("give --min, --max or --idle, or else --as-settings")
    if least is not None and most is not None and least > most:
        raise typer.BadParameter(f"--min {least} is more than --max {most}")
    with connect(url, key, state) as client:
        changed = client.send("PATCH", path_of(chosen_model(client, model)), {"replicas": bounds or None})
    if as_json:
        show_json(changed)
    else:
        print(f"{changed['id']}: {_bounds_text(changed)}")


@models.command()
def restart(
    model: ModelArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Until all replicas are new.")] = False,
    timeout_s: TimeoutOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    state: StateOption = None,
) -> None:
    """Replace a model's replicas by new ones, one after the other: its jobs go on. For admins."""
    with connect(url, key, state) as client:
        model_id = chosen_model(client, model)
        answer = client.send("POST", f"{path_of(model_id)}/restart")
        if wait:
            answer = wait_until_replaced(client, model_id, timeout_s, shown=not as_json)
    if as_json:
        show_json(answer)
    elif wait:
        print(f"{model_id} has new replicas: {answer['replicas']} ready")
    else:
        print(f"The replicas of {model_id} are being replaced: `infernet models show {model_id}` tells how far that is")


def _show(model: Json, now: datetime) -> None:
    for line in _sentences(model):
        print(line)
    print()
    show_table(
        ("ENGINE", "NODE", "STATE", "SINCE", "RUNNING", "SLOTS", "WHAT IT DOES"),
        (
            (
                each.get("engine_id"),
                each.get("node_id"),
                each.get("state"),
                age(each.get("since"), now),
                each.get("running"),
                each.get("slots"),
                _doing(each),
            )
            for each in model.get("engines", [])
        ),
    )
    if listed := model.get("adapters"):
        print()
        show_adapters((str(model["id"]), adapter) for adapter in listed)
    if failures := model.get("failures"):
        print()
        show_table(
            ("FAILED", "NODE", "AGO", "WHY"),
            (
                (each.get("engine_id"), each.get("node_id"), age(each.get("at"), now), each.get("message"))
                for each in failures
            ),
        )


def _sentences(model: Json) -> Iterator[str]:
    yield f"{model['id']} is {model.get('state')}, {model.get('queued')} jobs wait"
    yield _bounds_text(model)
    yield f"{model.get('wanted')} wanted: {model.get('scaling')}"
    yield from (str(model[name]) for name in ("starting", "state_message") if name in model)


def _bounds_text(model: Json) -> str:
    bounds: dict[str, Any] = model.get("bounds", {})
    said = f"{bounds.get('min')} to {bounds.get('max')} replicas"
    if bounds.get("min") == 0:
        said += f", none after {bounds.get('idle_s')} s without a job"
    if bounds.get("set_by") != "admin":
        return f"{said}, as the settings say"
    settings: dict[str, Any] = bounds.get("settings", {})
    return f"{said}, set by an admin; the settings say {settings.get('min')} to {settings.get('max')}"


def _doing(engine: Json) -> str | None:
    words = [name for name in ("retiring", "outdated") if engine.get(name)]
    return ", ".join([*words, *([engine["phase"]] if "phase" in engine else [])]) or None
