"""A plain system on an address of its own, in a thread, for what talks to it from outside: browsers and commands."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.support.plain_system import ADMIN_KEY, PATIENCE_S, PlainSystem

T = TypeVar("T")


class OwnSystem(NamedTuple):
    """Where the system is, an admin's key, and the system itself, which lives in another thread's event loop."""

    url: str
    key: str
    plain: PlainSystem
    loop: asyncio.AbstractEventLoop

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """Have this done where the system lives."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(PATIENCE_S)


@contextmanager
def own_system(folder: Path, engines: int = 1, **options: Any) -> Iterator[OwnSystem]:
    """A system with so many engines that are ready; `options` are those of `PlainSystem`."""
    began: Future[tuple[OwnSystem, asyncio.Event]] = Future()

    async def live() -> None:
        async with PlainSystem(folder / "own.db", **options) as plain:
            await plain.ready(engines)
            async with plain.served() as client:
                over = asyncio.Event()
                url = str(client.base_url).rstrip("/")
                began.set_result((OwnSystem(url, ADMIN_KEY, plain, asyncio.get_running_loop()), over))
                await over.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:
            if began.done():
                raise
            began.set_exception(error)

    thread = threading.Thread(target=run, name="own system")
    thread.start()
    try:
        system, over = began.result(2 * PATIENCE_S)
        try:
            yield system
        finally:
            system.loop.call_soon_threadsafe(over.set)
    finally:
        thread.join()
