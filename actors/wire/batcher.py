"""Calls that many make at once, made as one: while one call is under way, the next items gather."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from actors.telemetry import origins

T = TypeVar("T")
R = TypeVar("R")

Call = Callable[[list[T]], Awaitable[Sequence[R | Exception]]]
Waiting = tuple[T, asyncio.Future[R]]


class Batcher(Generic[T, R]):
    """Gathers items into calls of at most `max_items`, one call at a time, in the order of arrival.

    `call` answers one result per item, in the same order; an `Exception` among them is raised to that item's
    caller alone. If the call itself raises, every caller of that batch gets the exception. An item that comes
    when nothing is under way goes at once.

    A caller that is cancelled disturbs no other; its item is left out if its call has not been made yet.
    """

    def __init__(self, call: Call[T, R], max_items: int = 512) -> None:
        self._call = call
        self._max_items = max_items
        self._waiting: deque[Waiting[T, R]] = deque()
        self._drain: asyncio.Task[None] | None = None

    async def add(self, item: T) -> R:
        """The result for `item`, from the call it travelled in."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._drain is None:
            self._drain = asyncio.create_task(self._drain_waiting(), context=origins.apart())
        return await future

    async def _drain_waiting(self) -> None:
        try:
            while batch := self._next_batch():
                await self._settle(batch)
        finally:
            self._drain = None
            # Only a cancelled drain leaves anyone behind: nobody may wait for a call that will not be made.
            _cancel(self._waiting)
            self._waiting.clear()

    def _next_batch(self) -> list[Waiting[T, R]]:
        batch: list[Waiting[T, R]] = []
        while self._waiting and len(batch) < self._max_items:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch

    async def _settle(self, batch: list[Waiting[T, R]]) -> None:
        try:
            results = await self._call([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"a call with {len(batch)} items answered {len(results)} results")
        except Exception as error:  # noqa: BLE001 - raised to every caller of the batch
            results = [error] * len(batch)
        except BaseException:
            _cancel(batch)
            raise
        for (_, future), result in zip(batch, results, strict=True):
            _resolve(future, result)


def _resolve(future: asyncio.Future[R], result: R | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _cancel(callers: Iterable[Waiting[T, R]]) -> None:
    for _, future in callers:
        future.cancel()
