"""What a call from one actor to another can come to, as plain objects see it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cluster.errors import DatabaseTaken, DatabaseUnavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Unreachable(Exception):
    """A call did not reach its actor, or its answer did not come: `Gone` or `Unreached` says why."""


class Gone(Unreachable):
    """The actor has died, or there is none of this name."""


class Unreached(Unreachable):
    """The actor cannot be reached now. It may live, it may have done what it was asked, and it may answer again."""


class NotStarted(Unreached):
    """The actor's process answers, and the object in it has not started yet: there is nothing in it to end."""


AWAY = (Unreachable, DatabaseUnavailable, DatabaseTaken)
"""What says that a part of the system cannot be asked now, whatever it is asked for."""


async def within(seconds: float, call: Awaitable[T], whose: str = "the control plane") -> T:
    """What the call returns. Raises Unreachable when that takes longer: calls wait out an actor's restart."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        raise Unreachable(f"{whose} does not answer within {seconds:g} s") from None


async def if_within(seconds: float, call: Awaitable[T]) -> T | None:
    """What the call returns; None when that takes longer, or who is asked is away."""
    try:
        return await within(seconds, call)
    except AWAY:
        return None


class InTime:
    """An actor, to be called like itself; each of its methods raises Unreachable when it takes longer than `seconds`.

    Not for one with methods that are async generators.
    """

    def __init__(self, actor: Any, seconds: float, name: str) -> None:
        self._actor = actor
        self._seconds = seconds
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        if method.startswith("_"):
            raise AttributeError(method)

        def call(*args: Any) -> Awaitable[Any]:
            return within(self._seconds, getattr(self._actor, method)(*args), self._name)

        return call


_under_way: set[asyncio.Task[None]] = set()


def tell(call: Awaitable[object], what: str) -> asyncio.Task[None]:
    """Make a call and do not wait for it. That it failed is logged: whoever must know must not use this."""
    task = asyncio.create_task(_log_failure(call, what))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return task


async def _log_failure(call: Awaitable[object], what: str) -> None:
    try:
        await call
    except Exception as error:  # noqa: BLE001 - the one place where a notice's failure is told
        logger.warning("%s failed: %s: %s", what, type(error).__name__, error)
