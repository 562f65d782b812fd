"""The ingress as a Ray Serve application: `serve deploy ray_configs/serve.yaml`, or `infernet up`."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from msgspec.structs import replace
from ray import serve
from ray.serve import Application
from ray.serve._private.constants import SERVE_LOGGER_NAME

from actors.backends.judge import Backends
from actors.directory import JOURNAL, LEDGER, RATE_LIMITER, SCHEDULER, SUPERVISOR, engine
from actors.machine import gc, logs, scheduling_class
from actors.ray import lifecycle, machines, replica_address, replica_port, secrets
from actors.telemetry import observing
from actors.telemetry.observing import Observing
from api.app import create_app
from api.replica.gateway import Gateway
from api.secrets import ADMIN_KEY_VARIABLE, admin_key_of, with_secrets
from cluster.clock import wall_ms
from cluster.errors import ConfigError
from cluster.release import Release
from cluster.settings import layers as config
from cluster.settings.defaults import with_database
from cluster.settings.sections.metrics import Metrics

APP_NAME = "infernet"

# Serve's logging: a line for every request would be a tenth of the ingress's work.
QUIET = {"log_level": "WARNING", "enable_access_log": False}

# Every open stream is an ongoing request: Serve's default of 5 would serve five readers.
_MAX_ONGOING_REQUESTS = 100_000
_GRACE_S = 5.0


class Ingress:
    """An ingress replica. It has the control plane started where none runs yet, and does not wait for it.

    A replica that could not begin while the database is away would leave nobody to say so.
    """

    async def __init__(self, release: Release) -> None:  # type: ignore[misc]  # Serve awaits it
        scheduling_class.use_batch()
        log_with_the_others(Observing.of(release.settings))
        await asyncio.to_thread(replica_address.listen_where_haproxy_looks)
        replica_port.listen_where_the_node_does()
        resolved = with_secrets(release, os.environ)
        await lifecycle.begin(resolved, admin_key_of(os.environ))
        metrics = await asyncio.to_thread(_recalled, resolved.settings.metrics)
        self._gateway = Gateway(
            replace(release.settings, metrics=metrics),
            LEDGER.at(),
            RATE_LIMITER.at(),
            SCHEDULER.at(),
            JOURNAL.at(),
            engine=engine,
            restarts=SUPERVISOR.at().restarts,
        )
        self._cors_origins = release.settings.server.cors_origins
        gc.freeze()

    def __serve_build_asgi_app__(self) -> FastAPI:
        # Serve adds each request's id to its answer by itself.
        return create_app(self._gateway, self._cors_origins, tells_request_ids=False)


def _recalled(metrics: Metrics) -> Metrics:
    """With its key, if there is one: of `infernet up` it is the name under which the cluster's head keeps it."""
    return Metrics(secrets.recall(secrets.keep(metrics.key))) if metrics.key else metrics


def log_with_the_others(observed: Observing) -> None:
    """Tell as `observed` says: in the log of the run, or where there is none, in Serve's log of this replica."""
    observing.begin(f"ingress/{serve.get_replica_context().replica_id.unique_id}", observed)
    if logs.VARIABLE not in os.environ:
        logs.end()
        log_where_serve_does()


def log_where_serve_does() -> None:
    """Have this replica's own lines in its log.

    Python writes what nobody handles to stderr, and Serve sends that to its log at the level INFO, which `QUIET` drops.
    """
    # Serve keeps its lines back until there are many: these are few, and wanted at once.
    handlers = [getattr(handler, "target", handler) for handler in logging.getLogger(SERVE_LOGGER_NAME).handlers]
    for package in ("api", "actors", "cluster") if handlers else ():
        logger = logging.getLogger(package)
        logger.handlers = list(handlers)
        logger.propagate = False


_deployment = serve.deployment(
    serve.ingress()(Ingress),
    name="ingress",
    max_ongoing_requests=_MAX_ONGOING_REQUESTS,
    graceful_shutdown_timeout_s=_GRACE_S,
    graceful_shutdown_wait_loop_s=0.5,
    logging_config=QUIET,
)


def application(release: Release) -> Application:
    """The application with `server.replicas` ingress replicas.

    Its arguments can be seen by others: secrets in them are references, or names that the cluster's head knows.
    """
    replicas = release.settings.server.replicas
    scaling: dict[str, Any] = {"num_replicas": replicas.min}
    if replicas.max > replicas.min:
        scaling = {"autoscaling_config": {"min_replicas": replicas.min, "max_replicas": replicas.max}}
    return _deployment.options(**scaling, ray_actor_options={"num_cpus": 0, **_where()}).bind(release)


def _where() -> dict[str, Any]:
    """Where ingress replicas run: on the head machine, where the door is, or on those that are labelled for control.

    The loss of another one would silence all streams for as long as Ray and Serve need to notice. And a replica, though
    it needs no processor, keeps its machine from being given back.
    """
    if any(machines.is_for_control(node) and machines.HEAD not in node["Resources"] for node in machines.alive()):
        return {"label_selector": {machines.CONTROL_LABEL: machines.CONTROL_VALUE}}
    return {"resources": {machines.HEAD: 0.001}}


def build(args: dict[str, Any]) -> Application:
    """What a Serve config file names as its import path; `args` are the settings, as in the YAML file of `infernet up`.

    Raises ConfigError for settings that cannot be used, and without an admin key: there is no terminal to show one on.
    """
    parsed = config.parse(args, "serve config: args", Backends(here=False))
    folder = Path("~/.infernet").expanduser()
    if not parsed.database:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = with_database(parsed, folder)
    if not os.environ.get(ADMIN_KEY_VARIABLE):
        raise ConfigError(f"{ADMIN_KEY_VARIABLE}: must be set, to become the first admin key")
    return application(Release(settings, wall_ms()))
