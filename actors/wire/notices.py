"""Notices to another actor that nobody waits for, told together when many come."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from actors.telemetry import origins
from actors.wire.calls import tell

T = TypeVar("T")


class Notices(Generic[T]):
    """The first notice goes at once, those that come within `interval_s` of the last call go as one after it.

    A call that fails is logged as `what` and not repeated, as with `tell`.
    """

    def __init__(self, call: Callable[[list[T]], Awaitable[object]], what: str, interval_s: float) -> None:
        self._call = call
        self._what = what
        self._interval_s = interval_s
        self._gathered: list[T] = []
        self._telling: asyncio.Task[None] | None = None

    def add(self, notices: Iterable[T]) -> None:
        self._gathered += notices
        if self._telling is None and self._gathered:
            self._telling = asyncio.create_task(self._tell_while_there_are(), context=origins.apart())

    def stop(self) -> None:
        """Tell nothing more."""
        if self._telling is not None:
            self._telling.cancel()

    async def _tell_while_there_are(self) -> None:
        while self._gathered:
            gathered, self._gathered = self._gathered, []
            tell(self._call(gathered), self._what)
            await asyncio.sleep(self._interval_s)
        self._telling = None
