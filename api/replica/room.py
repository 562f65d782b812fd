"""Room for large requests in an ingress replica: no account has so much of it that others have none."""

import asyncio
from collections import Counter, deque

from cluster.errors import NoCapacity
from cluster.ids import AccountId

_LARGEST_AT_ONCE = 16
_OF_ONE_ACCOUNT = 4
"""So many requests of the largest size have room, and so many of one account."""

PATIENCE_S = 10.0


class Room:
    """So many bytes for all, and a quarter of them for one account at most."""

    def __init__(self, largest: int, patience_s: float = PATIENCE_S) -> None:
        self._left = largest * _LARGEST_AT_ONCE
        self._share = largest * _OF_ONE_ACCOUNT
        self._patience_s = patience_s
        self._used: Counter[AccountId] = Counter()
        self._waiting: deque[tuple[AccountId, int, asyncio.Future[None]]] = deque()

    async def take(self, account: AccountId, size: int) -> "Held":
        """Waits for its turn. Raises NoCapacity when none comes."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((account, size, turn))
        self._give_turns()
        try:
            async with asyncio.timeout(self._patience_s):
                await turn
        except BaseException as error:
            self._leave(account, size, turn)
            if isinstance(error, TimeoutError):
                raise NoCapacity("Too many large requests are being read now") from None
            raise
        return Held(self, account, size)

    def free(self, account: AccountId, size: int) -> None:
        self._left += size
        self._used[account] -= size
        if not self._used[account]:
            del self._used[account]
        self._give_turns()

    def _give_turns(self) -> None:
        """To the first ones for whom there is room: an account that has its share lets others pass."""
        for waiting in list(self._waiting):
            account, size, turn = waiting
            if size <= self._left and self._used[account] + size <= self._share and not turn.done():
                self._waiting.remove(waiting)
                self._left -= size
                self._used[account] += size
                turn.set_result(None)

    def _leave(self, account: AccountId, size: int, turn: "asyncio.Future[None]") -> None:
        if turn.done() and not turn.cancelled():
            self.free(account, size)
        else:
            self._waiting = deque(each for each in self._waiting if each[2] is not turn)


class Held:
    """Some room, until it is given back. Giving it back again changes nothing."""

    def __init__(self, room: Room, account: AccountId, size: int) -> None:
        self._room = room
        self._account = account
        self._size = size

    def give_back(self) -> None:
        size, self._size = self._size, 0
        if size:
            self._room.free(self._account, size)
