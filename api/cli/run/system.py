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
from actors.machine import private_files
from actors.ray import lifecycle
from actors.wire.calls import Unreachable
from api.cli.render import Step, console, one_line
from api.cli.run.address import as_serve_takes, require_free, url_of
from api.cli.run.bounded import within
from api.cli.run.first_keys import FirstKeys
from api.cli.run.ray_cluster import Cluster
from api.cli.run.ray_life import RayProcesses, lost, while_ray_lives
from api.cli.run.schema import bring_up_to_date
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

    `first_key`, if given, becomes the first admin key of a new database, else one that is made and kept in the folder
    before. Gives the URL, and the admin key if it was made and has not been told. Models load in the background.
    Raises StartError, one line, when something is in the way, and SystemLost when Ray ends first, also in what is done
    inside. What is left behind then, `guard` ends.
    """
    server = release.settings.server
    keys = FirstKeys(folder, url_of(server.host, server.port), first_key)
    if cluster.own:
        # What can be said in a second need not wait for Ray.
        require_free(server.host, server.port)
        await asyncio.to_thread(database.require_free, release.settings.database, Timing().ownership_wait_s)
        await asyncio.to_thread(bring_up_to_date, release.settings.database)
    with _joined(cluster, folder):
        processes = RayProcesses.of_this_process()
        served_before = bool(serve.status().proxies)
        if not served_before:
            require_free(server.host, server.port)
        watching = lifecycle.watch_over_supervisor()
        async with while_ray_lives(processes):
            try:
                with Step("Starting the control plane"):
                    made_key = await _start_control_plane(release, keys, cluster)
                with Step("Starting the ingress"):
                    await asyncio.to_thread(_serve, release)
                watching.start()
                yield keys.url, made_key
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


async def _start_control_plane(release: Release, keys: FirstKeys, cluster: Cluster) -> str | None:
    """The admin key, if it was made here and has not been told."""
    try:
        told = await lifecycle.start(release, keys.first)
        # At once: much can go wrong before it is shown.
        made_key = await keys.remember(told, _is_ours)
        if cluster.own:
            # A given one may get more machines, and some only because a model needs them.
            await _require_room()
    except (Unreachable, DatabaseFailed) as error:
        raise StartError(f"the control plane does not start: {error}") from None
    return made_key


async def _is_ours(key: str) -> bool:
    return await LEDGER.at().authenticate(secret_hash(key)) is not None


def _serve(release: Release) -> None:
    http = {"host": as_serve_takes(release.settings.server.host), "port": release.settings.server.port}
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
