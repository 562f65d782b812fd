"""Who is told of events, and whether there may be something to tell."""

import asyncio
from contextlib import suppress

from cluster.ids import AccountId


class Listeners:
    """`accounts` have, or had, endpoints: known here, so that the end of most jobs asks nothing of them."""

    def __init__(self) -> None:
        self.accounts: set[AccountId] = set()
        self._something_to_tell = asyncio.Event()

    def notify(self) -> None:
        """There is something to tell."""
        self._something_to_tell.set()

    def look(self) -> None:
        """What there is to tell is looked at from here on: what is written down later is looked at again."""
        self._something_to_tell.clear()

    async def wait(self, wait_s: float) -> None:
        """Returns once there may be something to tell, or after so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._something_to_tell.wait()
