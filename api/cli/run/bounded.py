"""Calls that block, with a limit: Ray's own wait for whoever does not answer."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any


async def within(limit_s: float, call: Callable[..., object], *args: Any) -> None:
    """Make the call in a thread of its own. Raises TimeoutError when it takes longer, and what it raises.

    The thread is left behind then. Those of asyncio's own pool would be waited for at the end of the process.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def make() -> None:
        failure: BaseException | None = None
        try:
            call(*args)
        except BaseException as error:  # noqa: BLE001 - raised in whoever waits for it
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, failure)

    threading.Thread(target=make, daemon=True, name=getattr(call, "__name__", "call")).start()
    async with asyncio.timeout(limit_s):
        await done
