"""Asking the control plane without waiting for it longer than those who watch the system can wait."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from actors.wire.calls import Unreachable
from cluster.errors import NoCapacity

T = TypeVar("T")

REACH_S = 3.0


async def in_time(call: Awaitable[T]) -> T:
    """What the call returns. Raises NoCapacity when it takes too long: calls wait out a restart of whom they ask."""
    try:
        async with asyncio.timeout(REACH_S):
            return await call
    except (TimeoutError, Unreachable):
        raise NoCapacity("The control plane does not answer") from None
