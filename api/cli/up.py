"""`infernet up`: the whole system in the foreground."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pynvml
import typer
from ray import serve
from ray.exceptions import RayError
from rich.console import Console

from actors import control_plane
from actors.backends import validate_engine_options
from actors.directory import SCHEDULER
from api.cli.connection import Connection, StateOption, read, state_folder, write
from api.cli.ports import require_free
from api.cli.ray_cluster import GivenCluster, OwnCluster
from api.serve import ADMIN_KEY_VARIABLE, APP_NAME, application
from cluster import config
from cluster.errors import ConfigError, StartError
from cluster.messages import ModelView
from cluster.settings import Settings

DRAIN_S = 20.0
_LOOK_S = 0.25
_QUIET = {"log_level": "WARNING", "enable_access_log": False}
_FIRST_NODE_S = 60.0

console = Console(highlight=False, soft_wrap=True)


def up(
    config_file: Annotated[Path | None, typer.Option("--config", help="The settings, a YAML file.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    model: Annotated[str | None, typer.Option(help="Serve this one model: a hub id or a folder.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster rather than start one.")] = None,
    state: StateOption = None,
) -> None:
    """Run the network in the foreground. Ctrl-C drains and stops it."""
    folder = state_folder(state, os.environ)
    settings = read_settings(config_file, host, port, model, folder)
    require_free(settings.server.host, settings.server.port)
    cluster = GivenCluster(ray_address) if ray_address else OwnCluster(folder)
    asyncio.run(_run(settings, folder, cluster))


def read_settings(file: Path | None, host: str | None, port: int | None, model: str | None, folder: Path) -> Settings:
    """File, environment and flags as one. Raises ConfigError."""
    overrides: dict[str, Any] = {}
    if server := {key: value for key, value in (("host", host), ("port", port)) if value is not None}:
        overrides["server"] = server
    if model is not None:
        overrides["models"] = [{**config.single_model(model), "gpus": 1 if _has_gpu() else 0}]
    settings = config.load(file, os.environ, overrides)
    for entry in settings.models:
        try:
            validate_engine_options(entry)
        except ValueError as error:
            raise ConfigError(f"model {entry.id}: engine: {error}") from None
    if not settings.database:
        settings = msgspec.structs.replace(settings, database=f"sqlite:///{folder.resolve() / 'infernet.db'}")
    return settings


async def _run(settings: Settings, folder: Path, cluster: AbstractContextManager[object]) -> None:
    with _Step("Starting Ray"):
        cluster.__enter__()
    try:
        # Only now: Ray sets signal handlers of its own.
        stopping = _stop_signal()
        served_before = _serve_runs()
        try:
            await _until(stopping, _serve_forever(settings, folder))
        finally:
            await _stop(served_before)
    finally:
        cluster.__exit__(None, None, None)
        console.print("Stopped.")


async def _serve_forever(settings: Settings, folder: Path) -> None:
    await _start(settings, folder)
    await _tell_models()


async def _start(settings: Settings, folder: Path) -> None:
    with _Step("Starting the control plane"):
        admin_key = await control_plane.start(settings, os.environ.get(ADMIN_KEY_VARIABLE))
        await _require_room()
    with _Step("Starting the ingress"):
        await asyncio.to_thread(_serve, settings)
    url = f"http://{settings.server.host}:{settings.server.port}"
    _remember(folder, url, admin_key)
    console.print(f"Serving at {url}")
    if admin_key is not None:
        console.print(f"Admin key, shown this once: {admin_key}")


def _serve(settings: Settings) -> None:
    http = {"host": settings.server.host, "port": settings.server.port}
    try:
        serve.start(proxy_location="HeadOnly", http_options=http, logging_config=_QUIET)
        serve.run(application(settings, None), name=APP_NAME, route_prefix="/")
    except (RayError, RuntimeError) as error:
        raise StartError(f"the ingress does not start: {str(error).splitlines()[-1]}") from None


async def _require_room() -> None:
    """Raises StartError when a model fits no machine, or no machine can be reached."""
    give_up_s = time.monotonic() + _FIRST_NODE_S
    while not await SCHEDULER.at().nodes():
        if time.monotonic() > give_up_s:
            raise StartError("no machine of the Ray cluster runs a node of the network")
        await asyncio.sleep(_LOOK_S)
    for view in await SCHEDULER.at().models():
        if not view.fits:
            raise StartError(f"no room for model {view.id}: {view.message}")


async def _tell_models() -> None:
    """Say of each model when it is ready, or why it is not."""
    began_s = time.monotonic()
    told: dict[str, tuple[str, str]] = {}
    while True:
        for view in await SCHEDULER.at().models():
            if told.get(view.id) != (view.state, view.message):
                told[view.id] = (view.state, view.message)
                console.print(_model_line(view, time.monotonic() - began_s))
        await asyncio.sleep(_LOOK_S)


def _model_line(view: ModelView, seconds: float) -> str:
    reason = f": {view.message}" if view.message and view.state == "failed" else ""
    return f"Model {view.id}: {view.state}{reason} ({seconds:.1f} s)"


async def _until(stopping: asyncio.Event, work: Any) -> None:
    """Work until told to stop; an error of the work is raised."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        working.result()
    working.cancel()


async def _stop(served_before: bool) -> None:
    with _Step("Draining and stopping"):
        await control_plane.drain(DRAIN_S)
        await asyncio.to_thread(serve.delete, APP_NAME) if served_before else await asyncio.to_thread(serve.shutdown)
        await control_plane.stop()


def _serve_runs() -> bool:
    return bool(serve.status().proxies)


def _remember(folder: Path, url: str, admin_key: str | None) -> None:
    """Keep what the other commands need to talk to this server."""
    kept = read(folder)
    key = admin_key or os.environ.get(ADMIN_KEY_VARIABLE) or (kept.key if kept else None)
    if key is not None:
        write(folder, Connection(url, key))


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


def _has_gpu() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return int(pynvml.nvmlDeviceGetCount()) > 0


class _Step:
    """A slow step: said when it begins, and with its seconds when it is done."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._began_s = time.monotonic()
        console.print(f"{self._what} ... ", end="")

    def __exit__(self, kind: object, *_: Mapping[str, object]) -> None:
        console.print(f"{time.monotonic() - self._began_s:.1f} s" if kind is None else "failed")
