"""That Serve's HAProxy runs.

Serve looks every ten seconds, and believes the third look: when HAProxy dies its port is closed for half a minute. So a
task in the actor that Serve has for HAProxy waits for the end of its process, and has that actor start it again, as
Serve's own start does. What of Serve is relied on here, a test compares with the Serve that is installed.
"""

import asyncio
import logging
import os
import signal
from contextlib import suppress
from typing import Any

import psutil

from actors.machine import logs

logger = logging.getLogger(__name__)

SERVE_NAMESPACE = "serve"
PROXY_PREFIX = "SERVE_PROXY_ACTOR-"

_KEEPER = "_infernet_keeper"
# Serve forgets the process that it stops once that has ended: a moment later it is certain who ended it.
_ENDED_S = 0.02
_PAUSE_S = 0.25


def keep_there(manager: Any) -> bool:
    """What is called in Serve's actor, with it."""
    logs.begin("haproxy")
    return keep(manager)


def keep(manager: Any) -> bool:
    """From now on its HAProxy is started again when it ends. May be repeated.

    False in a proxy that is no HAProxy.
    """
    if not hasattr(manager, "_haproxy"):
        return False
    keeper = getattr(manager, _KEEPER, None)
    if keeper is None or keeper.done():
        setattr(manager, _KEEPER, manager.event_loop.create_task(_keep(manager)))
    return True


async def _keep(manager: Any) -> None:
    _end_strays(manager._haproxy)
    await manager._haproxy_start_task
    while (process := manager._haproxy._proc) is not None:
        await process.wait()
        await asyncio.sleep(_ENDED_S)
        # Serve replaces HAProxy's process, too, when its configuration changes.
        async with manager._reload_lock:
            if manager._haproxy._proc is process:
                await _start_again(manager._haproxy)


async def _start_again(haproxy: Any) -> None:
    logger.warning("HAProxy has ended; it is started again")
    try:
        await haproxy.start()
    except Exception as error:  # noqa: BLE001 - tried again, and Serve's own looks go on
        logger.warning("HAProxy does not start: %s; trying again", error)
        await asyncio.sleep(_PAUSE_S)


def _end_strays(haproxy: Any) -> None:
    """Have the HAProxy of an actor that was killed let go of the port: it knows no replica that has begun since."""
    ours = {child.pid for child in psutil.Process().children()}
    for pid in set(psutil.pids()) - ours:
        if haproxy._is_our_haproxy(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)
