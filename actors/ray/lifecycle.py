"""Starting and stopping the whole control plane on a Ray cluster that this process is connected to."""

import asyncio
import logging
from contextlib import suppress

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.directory import JOURNAL, LEDGER, NODE, RATE_LIMITER, SCHEDULER, SUPERVISOR
from actors.wire.calls import Unreachable
from cluster.errors import DatabaseFailed, StartError
from cluster.settings.schema import Settings

logger = logging.getLogger(__name__)

_HEAD = "node:__internal_head__"


async def begin(settings: Settings, admin_key: str | None) -> None:
    """Have started what does not run yet, without waiting for any of it."""
    head = NodeAffinitySchedulingStrategy(await asyncio.to_thread(_head_node), soft=False)
    await asyncio.to_thread(SUPERVISOR.start, "", settings, admin_key, scheduling_strategy=head)


async def start(settings: Settings, admin_key: str | None) -> str | None:
    """Start what does not run yet, and wait until jobs can be submitted. Models load in the background.

    `admin_key`, if given, becomes the first admin key of a new database; otherwise the one that was made is returned,
    to whoever asks first.
    Raises StartError when a core actor cannot start, for example on a database of a newer version.
    """
    await begin(settings, admin_key)
    try:
        for actor in (SUPERVISOR.at(), LEDGER.at(), SCHEDULER.at()):
            await actor.start()
        return await LEDGER.at().first_admin_key()
    except (Unreachable, DatabaseFailed) as error:
        raise StartError(f"the control plane does not start: {error}") from None


async def quiesce(within_s: float) -> None:
    """Take no more jobs and let the running ones end, for up to `within_s`. The others go on at the next start."""
    try:
        if not await SCHEDULER.at().quiesce(within_s):
            logger.warning("stopping with jobs still running; they go on at the next start")
    except Unreachable as error:
        logger.warning("nothing to drain: %s", error)


async def stop() -> None:
    """End every actor. Jobs that have not ended stay in the database."""
    await asyncio.to_thread(SUPERVISOR.kill)
    await asyncio.gather(*(_stop_node(key) for key in await asyncio.to_thread(NODE.existing)))
    # The Ledger last: the RateLimiter tells it what was used.
    for actor in (RATE_LIMITER.at(), LEDGER.at()):
        with suppress(Unreachable):
            await actor.stop()
    # Whoever calls goes before whom it calls.
    for kind in (JOURNAL, SCHEDULER, RATE_LIMITER, LEDGER):
        await asyncio.to_thread(kind.kill)


async def _stop_node(key: str) -> None:
    try:
        await NODE.at(key).stop()
    except Unreachable as error:
        logger.warning("%s", error)
    await asyncio.to_thread(NODE.kill, key)


def _head_node() -> str:
    return next(str(node["NodeID"]) for node in ray.nodes() if node["Alive"] and _HEAD in node["Resources"])
