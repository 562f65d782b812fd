"""The whole system in the foreground: what `infernet up` does."""

import logging
import os
from pathlib import Path

from actors.telemetry.observing import Observing
from api.cli.render import console
from api.cli.run import run_log, system
from api.cli.run.door.limits import Limits, open_files
from api.cli.run.progress import tell_news
from api.cli.run.ray_cluster import Cluster, GivenCluster, OwnCluster
from api.cli.run.service import READY, STOPPING, Service
from api.cli.settings import flags_layer, notes, read_secrets, read_settings
from api.secrets import secret_variables
from cluster.release import Release
from cluster.settings.sections.server import Server

logger = logging.getLogger(__name__)


def serve(
    config_file: Path | None,
    host: str | None,
    port: int | None,
    model: str | None,
    ray_address: str | None,
    folder: Path,
) -> None:
    """Serve until a signal says to stop. Raises ConfigError, StartError, and SystemLost when Ray ends first."""
    flags = flags_layer(config_file, host, port, model)
    settings = read_settings(config_file, flags, os.environ, folder, here=ray_address is None)
    release, admin_key = read_secrets(settings, os.environ)
    for note in notes(settings, os.environ, ray_address):
        console.print(f"Note: {note}")
    # Whoever starts a process here gives it this environment: Ray's workers run code of models.
    service = Service.taken_from(os.environ)
    for variable in secret_variables(settings, os.environ):
        os.environ.pop(variable, None)
    with run_log.written(folder, Observing.of(settings)) as logs:
        cluster = _cluster(ray_address, settings.server, folder, logs)
        system.run(_serve(release, admin_key, folder, service, cluster))
    console.print("Stopped.")


async def _serve(release: Release, first_key: str | None, folder: Path, service: Service, cluster: Cluster) -> None:
    async with system.running(release, folder, cluster, first_key) as (url, made_key):
        console.print(f"Serving at {url}")
        logger.info("serving at %s", url)
        if cluster.own and (shortage := Limits.of(release.settings.server, open_files()).shortage):
            console.print(f"Note: {shortage}")
        if made_key is not None:
            console.print(f"Admin key, shown this once: {made_key}")
        service.tell(READY)
        try:
            await tell_news()
        finally:
            service.tell(STOPPING)


def _cluster(ray_address: str | None, server: Server, folder: Path, logs: Path) -> Cluster:
    if ray_address:
        return GivenCluster(ray_address)
    return OwnCluster(folder, logs, Limits.of(server, open_files()))
