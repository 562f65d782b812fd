"""Starting and stopping the whole control plane on a Ray cluster that this process is connected to."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from msgspec.structs import replace
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.directory import COURIER, JOURNAL, LEDGER, NODE, RATE_LIMITER, SCHEDULER, SUPERVISOR
from actors.ray import machines, seats, secrets
from actors.ray.wards import RayWard
from actors.supervising.watch import Watch
from actors.wire.calls import NotStarted, Unreachable
from actors.wire.every import Every
from cluster.errors import DatabaseFailed, StartError
from cluster.release import UNKNOWN, Described, Release
from cluster.settings.sections.metrics import Metrics
from cluster.timing import Timing

logger = logging.getLogger(__name__)

DRAIN_S = 20.0

_ANSWER_S = 30.0
_STOP_S = 22.0  # an engine has 20 s to stop


def sealed(release: Release, admin_key: str | None) -> tuple[Release, str | None]:
    """Both with their secrets kept by the cluster's head, and the secrets' names in their place. Blocks."""
    settings = release.settings
    metrics = Metrics(secrets.keep(settings.metrics.key)) if settings.metrics.key else settings.metrics
    settings = replace(settings, database=secrets.keep(settings.database), metrics=metrics)
    return replace(release, settings=settings), None if admin_key is None else secrets.keep(admin_key)


async def begin(release: Release, admin_key: str | None) -> None:
    """Have this run, without waiting for it: start what does not run yet, and replace what runs by an older wish.

    Other settings replace those actors that are made of them, one of another version replaces all: jobs are drained
    first then, for what they were told by one version is not for another one to read.
    """
    release, admin_key = await asyncio.to_thread(sealed, release, admin_key)
    running = await _running()
    if running is not None and release.replaces(running):
        if running["version"] == release.version:
            logger.warning("other settings than those that run: what is made of them begins anew")
            await asyncio.to_thread(SUPERVISOR.kill)
        else:
            logger.warning("version %s takes the place of %s", release.version, running["version"])
            await quiesce(DRAIN_S)
            await stop()
    head = NodeAffinitySchedulingStrategy(await asyncio.to_thread(_head_node), soft=False)
    await asyncio.to_thread(SUPERVISOR.start, "", release, admin_key, scheduling_strategy=head)


async def start(release: Release, admin_key: str | None) -> str | None:
    """Start what does not run yet, and wait until jobs can be submitted. Models load in the background.

    `admin_key`, if given, becomes the first admin key of a new database; otherwise the one that was made is returned,
    to whoever asks first.
    Raises StartError when a core actor cannot start, for example on a database of a newer version.
    """
    await begin(release, admin_key)
    try:
        for actor in (SUPERVISOR.at(), LEDGER.at(), SCHEDULER.at()):
            await actor.start()
        return await LEDGER.at().first_admin_key()
    except (Unreachable, DatabaseFailed) as error:
        raise StartError(f"the control plane does not start: {error}") from None


def watch_over_supervisor(timing: Timing = Timing()) -> Every:
    """What watches over the others, watched from here: to be started, and stopped before the Supervisor is."""
    watch, ward = Watch(timing), RayWard(SUPERVISOR)
    return Every(timing.pulse_s, lambda: watch.look([ward]), "watching over the Supervisor")


async def quiesce(within_s: float) -> None:
    """Take no more jobs and let the running ones end, for up to `within_s`. The others go on at the next start."""
    try:
        if not await SCHEDULER.at().quiesce(within_s):
            logger.warning("stopping with jobs still running; they go on at the next start")
    except NotStarted:
        return
    except Unreachable as error:
        logger.warning("nothing to drain: %s", error)


async def stop() -> None:
    """End every actor. Jobs that have not ended stay in the database."""
    await asyncio.to_thread(SUPERVISOR.kill)
    await asyncio.gather(*(_stop_node(key) for key in await asyncio.to_thread(NODE.existing)))
    # The Ledger last: the RateLimiter tells it what was used.
    for name, actor in (("RateLimiter", RATE_LIMITER.at()), ("Ledger", LEDGER.at())):
        await _stop_or_tell(name, actor.stop())
    # Whoever calls goes before whom it calls.
    for kind in (JOURNAL, SCHEDULER, RATE_LIMITER, COURIER, LEDGER):
        await asyncio.to_thread(kind.kill)
    # After who would make them anew. The engines that sat there were stopped with their nodes.
    await asyncio.to_thread(seats.remove_all)


async def _stop_node(key: str) -> None:
    await _stop_or_tell(f"Node {key}", NODE.at(key).stop())
    await asyncio.to_thread(NODE.kill, key)


async def _stop_or_tell(name: str, stopping: Coroutine[Any, Any, None]) -> None:
    """Whatever becomes of it: its database away, or its process hanging, the rest is to be stopped all the same."""
    try:
        async with asyncio.timeout(_STOP_S):
            await stopping
    except NotStarted:
        return
    except Exception as error:  # noqa: BLE001 - told, and its process is ended next
        logger.warning("%s did not stop by itself: %s", name, error or type(error).__name__)


async def _running() -> Described | None:
    """What runs; None when nothing does, or nobody says."""
    if await asyncio.to_thread(SUPERVISOR.actor_id) is None:
        return None
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await SUPERVISOR.at().release()
    except AttributeError:
        return UNKNOWN
    except (Unreachable, TimeoutError):
        logger.warning("the Supervisor does not say what runs: it is taken for what is wanted")
        return None


def _head_node() -> str:
    return next(str(node["NodeID"]) for node in machines.alive() if machines.HEAD in node["Resources"])
