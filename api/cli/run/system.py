"""The whole system, running for as long as somebody needs it."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.context import _get_global_client

from actors.directory import LEDGER, SCHEDULER
from actors.ray import lifecycle
from actors.wire.calls import Unreachable
from api.cli.connection import Connection, read, write
from api.cli.render import Step, console, one_line
from api.cli.run import private_files
from api.cli.run.bounded import within
from api.cli.run.ports import require_free
from api.cli.run.ray_cluster import Cluster
from api.cli.run.ray_life import RayProcesses, lost, while_ray_lives
from api.serve import APP_NAME, QUIET, application
from cluster.errors import DatabaseFailed, StartError
from cluster.keys import secret_hash
from cluster.release import Release
from cluster.store import database
from cluster.timing import Timing

_ANSWER_S = 2.0
# What is left of a Ray of our own after this is killed. A given one we leave as we found it, which may take longer.
_SERVE_STOP_S = 8.0
_GIVEN_SERVE_STOP_S = 40.0
_CORE_STOP_S = 25.0
# What Ray prints by itself, where the user does not have to read it.
_RAY_LOG = "ray.log"
_LOOK_S = 0.25
_FIRST_NODE_S = 60.0


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it is done, or a signal says to stop; then it is cancelled and cleans up after itself."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    # Not closed, as `asyncio.run` would: that waits for threads, and these may wait for a Ray that has gone.
    asyncio.new_event_loop().run_until_complete(_until_stopped(work))


@asynccontextmanager
async def running(
    release: Release, folder: Path, cluster: Cluster, first_key: str | None
) -> AsyncIterator[tuple[str, str | None]]:
    """Start Ray, the control plane and the ingress; drain and stop them at the end, however it comes.

    `first_key`, if given, becomes the first admin key of a new database. Gives the URL, and the admin key if this
    start made one. Models load in the background.
    Raises StartError, one line, when something is in the way, and SystemLost when Ray ends first, also in what is done
    inside. What is left behind then, `guard` ends.
    """
    server = release.settings.server
    if cluster.own:
        # What can be said in a second need not wait for Ray.
        require_free(server.host, server.port)
        await asyncio.to_thread(database.require_free, release.settings.database, Timing().ownership_wait_s)
    with _joined(cluster, folder):
        processes = RayProcesses.of_this_process()
        served_before = bool(serve.status().proxies)
        if not served_before:
            require_free(server.host, server.port)
        watching = lifecycle.watch_over_supervisor()
        async with while_ray_lives(processes):
            try:
                url = f"http://{server.host}:{server.port}"
                with Step("Starting the control plane"):
                    admin_key = await _start_control_plane(release, folder, url, first_key, cluster)
                with Step("Starting the ingress"):
                    await asyncio.to_thread(_serve, release)
                watching.start()
                yield url, admin_key
            finally:
                watching.stop()
                if missing := await asyncio.to_thread(processes.missing):
                    # Whoever asked to stop: nothing can be drained, and taking leave of a Ray that is gone takes long.
                    raise lost(missing)
                with Step("Draining and stopping"):
                    await _stop(cluster, served_before)


@contextmanager
def _joined(cluster: Cluster, folder: Path) -> Iterator[None]:
    """The cluster, with our signal handlers again in the place of those that Ray sets."""
    with private_files.opened(folder / _RAY_LOG, "w") as log, redirect_stdout(log), ExitStack() as stack:
        with Step("Starting Ray"):
            stack.enter_context(cluster)
        _stop_on_signals()
        yield


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    _stop_on_signals()
    try:
        await work
    except asyncio.CancelledError:
        return


def _stop_on_signals() -> None:
    """Cancel the main task on the first Ctrl-C or SIGTERM; it is cleaning up by the time of a second."""
    loop, main = asyncio.get_running_loop(), asyncio.current_task()
    assert main is not None

    def stop() -> None:
        if not main.cancelling():
            main.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


async def _start_control_plane(
    release: Release, folder: Path, url: str, first_key: str | None, cluster: Cluster
) -> str | None:
    """The admin key, if this start made one."""
    try:
        admin_key = await lifecycle.start(release, first_key)
        # At once: it will not be told again, and much can go wrong before it is shown.
        await _remember(folder, url, admin_key or first_key)
        if cluster.own:
            # A given one may get more machines, and some only because a model needs them.
            await _require_room()
    except (Unreachable, DatabaseFailed) as error:
        raise StartError(f"the control plane does not start: {error}") from None
    return admin_key


def _serve(release: Release) -> None:
    http = {"host": release.settings.server.host, "port": release.settings.server.port}
    sealed, _ = lifecycle.sealed(release, None)
    try:
        serve.start(proxy_location="HeadOnly", http_options=http, logging_config=QUIET)
        _require_address(release.settings.server.port)
        serve.run(application(sealed), name=APP_NAME, route_prefix="/")
    except (RayError, RuntimeError) as error:
        raise StartError(f"the ingress does not start: {str(error).splitlines()[-1]}") from None


def _require_address(port: int) -> None:
    """Raises StartError where Serve ran before us on another port, which nobody can change while it runs."""
    serves = _get_global_client().http_config.port
    if serves != port:
        raise StartError(f"Ray Serve runs on this cluster already, on port {serves}: serve there, or shut it down")


async def _require_room() -> None:
    """Raises StartError when a model fits no machine, or no machine can be reached."""
    give_up_s = time.monotonic() + _FIRST_NODE_S
    while not await SCHEDULER.at().has_looked_for_room():
        if time.monotonic() > give_up_s:
            raise StartError("the Ray cluster does not tell of its machines, and whether models have room there")
        await asyncio.sleep(_LOOK_S)
    for view in await SCHEDULER.at().models():
        if not view.fits:
            raise StartError(f"no room for model {view.id}: {view.message}")


async def _remember(folder: Path, url: str, new_key: str | None) -> None:
    """Keep what the other commands need to talk to this server: the new key if it is one here, else the kept one."""
    kept = read(folder)
    for key in (new_key, kept.key if kept else None):
        if key is not None and await LEDGER.at().authenticate(secret_hash(key)):
            write(folder, Connection(url, key))
            return


async def _stop(cluster: Cluster, served_before: bool) -> None:
    """Each step has a limit, and the next is taken whatever became of it: a process that hangs holds up none."""
    await _step("draining", lifecycle.DRAIN_S + _ANSWER_S, lifecycle.quiesce(lifecycle.DRAIN_S))
    limit_s = _SERVE_STOP_S if cluster.own else _GIVEN_SERVE_STOP_S
    stopping = within(limit_s, serve.delete, APP_NAME) if served_before else within(limit_s, serve.shutdown)
    await _step("stopping the ingress", limit_s + _ANSWER_S, stopping)
    await _step("stopping the control plane", _CORE_STOP_S, lifecycle.stop())


async def _step(what: str, limit_s: float, step: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await step
    except TimeoutError:
        console.print(f"{what} takes too long; going on ... ", end="")
    except Exception as error:  # noqa: BLE001 - said, and the rest is stopped all the same
        console.print(f"{what} failed: {one_line(str(error))}; going on ... ", end="")
