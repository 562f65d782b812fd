"""What Ray gives, played in one event loop: processes, names that answer to them, and calls between them.

A process ends at once when it is killed. Calls to what is gone raise `Gone` or, to a core actor, wait until it
is back. What a dead process was about to say is never heard. What may go wrong with a call on its way, `Links` say.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple, TypeVar

from actors.wire.calls import Gone, Unreachable
from tests.support.virtual_time import Halting, within

T = TypeVar("T")

STREAMS = frozenset({"frames", "read"})
"""The methods that are async generators."""


class Process(Halting):
    """Where one object lives, until it is killed. All that it does by itself is done by tasks in its context."""

    def __init__(self, name: str = "", content: Any = None) -> None:
        super().__init__()
        self.name = name
        self.content = content
        self._death: asyncio.Future[None] | None = None

    @property
    def death(self) -> asyncio.Future[None]:
        """Done when the process has died."""
        if self._death is None:
            self._death = asyncio.get_running_loop().create_future()
            if self.ended:
                self._death.set_result(None)
        return self._death

    @property
    def dead(self) -> bool:
        return self._death is not None and self._death.done()

    async def run(self, call: Awaitable[T]) -> T:
        """What `call` comes to, done by this process."""
        return await within(self, call)

    def kill(self) -> None:
        """End it. Whoever waits for it is told."""
        self.end()
        self.leave()

    def leave(self) -> None:
        """Nobody reaches it any more, and whoever waits for it is told. It may still believe that it is needed."""
        if not self.death.done():
            self.death.set_result(None)


class Actor:
    """A name, and the process that answers to it now. A `core` actor is waited for while it is gone."""

    def __init__(self, name: str, core: bool = False) -> None:
        self.name = name
        self.core = core
        self.process: Process | None = None
        self.changed = asyncio.Event()

    def run_in(self, process: Process) -> None:
        self.process = process
        self.changed.set()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process = None
            self.changed.clear()

    def forget(self) -> Process | None:
        """Take the name from the process that has it. It goes on, and nobody reaches it."""
        process, self.process = self.process, None
        self.changed.clear()
        if process is not None:
            process.leave()
        return process

    async def reached(self) -> Process:
        while self.process is None and self.core:
            await self.changed.wait()
        return self.now()

    def now(self) -> Process:
        if self.process is None:
            raise Gone(f"{self.name} died")
        return self.process


class Link(NamedTuple):
    """A call's way from one process to another. Processes are named by their kind: engines are all `engine`."""

    caller: str
    callee: str
    method: str

    def __str__(self) -> str:
        return f"{self.caller}>{self.callee}.{self.method}"


class Links:
    """The ways between processes. Nothing goes wrong on these."""

    async def call(self, link: Link, effect: Callable[[], Awaitable[Any]]) -> Any:
        """Have the callee do it, and return what it answers."""
        return await effect()

    async def frame(self, link: Link, frame: T) -> T:
        """Bring one item of a stream to its reader."""
        return frame


class Remote:
    """What `caller` knows of an actor, to be called like the object itself."""

    def __init__(self, caller: Process, actor: Actor, links: Links) -> None:
        self._caller = caller
        self._actor = actor
        self._links = links

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._stream if method in STREAMS else self._call, method)

    async def _call(self, method: str, *args: Any) -> Any:
        return await self._links.call(self._link(method), partial(self._reach, method, *args))

    async def _reach(self, method: str, *args: Any) -> Any:
        while True:
            self._unless_dead()
            process = await self._actor.reached()
            try:
                result = await _answered(process, method, args)
            except Unreachable:
                if process.dead and self._actor.core:
                    continue
                raise
            self._unless_dead()
            return result

    async def _stream(self, method: str, *args: Any) -> AsyncGenerator[Any, None]:
        link, process = self._link(method), self._actor.now()
        items: asyncio.Queue[Any] = asyncio.Queue()
        stream = getattr(process.content, method)(*args)
        # As Ray does: what is sent does not wait for who reads.
        sending = asyncio.create_task(_send(stream, items), context=process.context)
        died = partial(_say_that_it_died, items)
        process.death.add_done_callback(died)
        try:
            while (item := await items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield await self._links.frame(link, item)
        finally:
            process.death.remove_done_callback(died)
            sending.cancel()

    def _link(self, method: str) -> Link:
        return Link(_kind(self._caller.name), _kind(self._actor.name), method)

    def _unless_dead(self) -> None:
        if self._caller.ended:
            raise asyncio.CancelledError


def _kind(name: str) -> str:
    return name.partition("/")[0]


async def _invoke(content: Any, method: str, args: tuple[Any, ...]) -> Any:
    return await getattr(content, method)(*args)


async def _send(stream: AsyncGenerator[Any, None], items: asyncio.Queue[Any]) -> None:
    try:
        async with aclosing(stream):
            async for item in stream:
                items.put_nowait(item)
    except Exception as error:  # noqa: BLE001 - raised to the reader
        items.put_nowait(error)
    else:
        items.put_nowait(None)


def _say_that_it_died(items: asyncio.Queue[Any], _: object) -> None:
    items.put_nowait(Gone("it died meanwhile"))


async def _answered(process: Process, method: str, args: tuple[Any, ...]) -> Any:
    """What this process answers. Raises Gone when it dies first.

    A caller that waits no longer does not stop it, as with Ray.
    """
    work = asyncio.create_task(_invoke(process.content, method, args), context=process.context)
    work.add_done_callback(_note_error)
    await asyncio.wait({work, process.death}, return_when=asyncio.FIRST_COMPLETED)
    if process.dead:
        work.cancel()
        raise Gone("it died meanwhile")
    return work.result()


def _note_error(work: asyncio.Task[Any]) -> None:
    # Not lost: whoever waits has it from the task, and who is gone does not want it.
    if not work.cancelled():
        work.exception()
