"""An event loop in which time passes only while nobody has anything to do, and whose processes can be halted.

With it the whole control plane runs in one thread, minutes of it within a second, and the same way each time: what a
thread would do is done by turns. A task belongs to the `Halting` in whose context it was made; while that is halted
none of its callbacks is called, as none is in a process that was sent SIGSTOP, and never again after `end`.
"""

import asyncio
import selectors
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

BEGAN_S = 1_000.0
BEGAN_MS = 1_800_000_000_000

_halting: ContextVar["Halting | None"] = ContextVar("halting", default=None)


class Halting:
    """What can be halted, go on and end. `skew_s` is by how much its clocks differ from all others."""

    def __init__(self) -> None:
        self.context = copy_context()
        self.context.run(_halting.set, self)
        self.halted = False
        self.ended = False
        self.skew_s = 0.0
        self._parked: list[_Turn] = []

    def halt(self) -> None:
        """Do nothing more until `go_on`."""
        self.halted = True

    def go_on(self) -> None:
        """Do all that has become due. What has ended stays so."""
        if not self.ended:
            self.halted = False
            self.unpark()

    def end(self) -> None:
        """Do nothing more, ever: not even what is in a `finally`."""
        self.halted = self.ended = True

    def park(self, turn: "_Turn") -> None:
        self._parked.append(turn)
        turn.loop.halted.add(self)

    def unpark(self) -> None:
        parked, self._parked = self._parked, []
        for turn in parked:
            turn.repeat()


class _Turn:
    """A callback of something that can be halted."""

    __slots__ = ("args", "callback", "context", "handle", "loop", "of")

    def __init__(
        self, loop: "VirtualLoop", of: Halting, callback: Callable[..., object], args: tuple[Any, ...], context: Context
    ) -> None:
        self.loop = loop
        self.of = of
        self.callback = callback
        self.args = args
        self.context = context
        self.handle: asyncio.Handle

    def __call__(self) -> None:
        if self.of.halted and self.loop.halts:
            self.of.park(self)
        elif not self.handle.cancelled():
            self.callback(*self.args)

    def repeat(self) -> None:
        self.loop.call_soon_plainly(self, self.context)


class _NoWaiting(selectors.DefaultSelector):
    """Does not wait: lets the loop's time pass instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if not found and timeout:
            self.loop.pass_time(timeout)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in the order in which they are due, without waiting.

    What goes to an executor is done by the loop itself, `work_s(executor)` seconds after it was given.
    """

    def __init__(self) -> None:
        self._now_s = BEGAN_S
        selector = _NoWaiting()
        selector.loop = self
        super().__init__(selector)
        self.work_s: Callable[[Executor | None], float] = lambda _: 0.0
        self.halts = True
        self.halted: set[Halting] = set()

    def time(self) -> float:
        return self._now_s

    def pass_time(self, seconds: float) -> None:
        self._now_s += seconds

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        of = _halting.get() if context is None else context.get(_halting)
        if of is None:
            return super().call_soon(callback, *args, context=context)
        turn = _Turn(self, of, callback, args, context or copy_context())
        turn.handle = super().call_soon(turn, context=turn.context)
        return turn.handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        of = _halting.get() if context is None else context.get(_halting)
        if of is None:
            return super().call_at(when, callback, *args, context=context)
        turn = _Turn(self, of, callback, args, context or copy_context())
        turn.handle = handle = super().call_at(when, turn, context=turn.context)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        # Only ever called by a `TurnThread`, while the loop waits for it.
        return self.call_soon(callback, *args, context=context)

    def call_soon_plainly(self, callback: Callable[[], object], context: Context) -> None:
        super().call_soon(callback, context=context)

    def let_all_go(self) -> None:
        """Nothing is halted any more, and what has ended may clean up: nobody looks any longer."""
        self.halts = False
        for halted in self.halted:
            halted.unpark()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        self.call_later(self.work_s(executor), _work, future, func, args)
        return future


def _work(future: asyncio.Future[T], func: Callable[..., T], args: tuple[Any, ...]) -> None:
    try:
        result = func(*args)
    except Exception as error:  # noqa: BLE001 - raised to whoever waits for the work
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)


class VirtualClock:
    """The running loop's time as `cluster.clock.Clock`, as whoever asks believes it to be."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def monotonic_s(self) -> float:
        return self._loop.time()

    def wall_ms(self) -> int:
        of = _halting.get()
        skew_s = of.skew_s if of else 0.0
        return BEGAN_MS + round((self._loop.time() - BEGAN_S + skew_s) * 1000)


class TurnThread:
    """In place of `threading.Thread`: it runs only while the loop waits for it, until it waits for something."""

    _own = threading.local()

    def __init__(
        self, target: Callable[..., object], args: tuple[Any, ...] = (), name: str = "", daemon: bool = True
    ) -> None:
        self._target = target
        self._args = args
        self._context = copy_context()
        self._loop = asyncio.get_running_loop()
        self._mine, self._yours = threading.Semaphore(0), threading.Semaphore(0)
        self._over = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=daemon)

    @classmethod
    def current(cls) -> "TurnThread | None":
        return getattr(cls._own, "thread", None)

    def start(self) -> None:
        self._thread.start()
        self._loop.call_soon(self.take_turn, context=self._context)

    def join(self, timeout: float | None = None) -> None:
        while not self._over:
            self.take_turn()
        self._thread.join()

    def take_turn(self) -> None:
        """Run until it waits again. Called by the loop."""
        if not self._over:
            self._mine.release()
            self._yours.acquire()

    def wait_for_turn(self) -> None:
        """Let the loop go on. Called by the thread itself."""
        self._yours.release()
        self._mine.acquire()

    def take_turn_soon(self) -> None:
        self._loop.call_soon(self.take_turn, context=self._context)

    def take_turn_after(self, seconds: float) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, self.take_turn, context=self._context)

    def _run(self) -> None:
        self._own.thread = self
        self._mine.acquire()
        try:
            self._context.copy().run(self._target, *self._args)
        finally:
            self._over = True
            self._yours.release()


class TurnCondition:
    """In place of `threading.Condition`, for `TurnThread`s and the loop. No lock: one of them runs at a time."""

    def __init__(self) -> None:
        self._waiting: set[TurnThread] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def notify(self, n: int = 1) -> None:
        self.notify_all()

    def notify_all(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for thread in waiting:
            thread.take_turn_soon()

    def wait(self, timeout: float | None = None) -> bool:
        thread = TurnThread.current()
        assert thread is not None, "the loop must not wait"
        self._waiting.add(thread)
        timer = None if timeout is None else thread.take_turn_after(timeout)
        thread.wait_for_turn()
        if timer is not None:
            timer.cancel()
        notified = thread not in self._waiting
        self._waiting.discard(thread)
        return notified

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Does not wait in the loop's own thread: loading takes no time there."""
        while not (result := predicate()) and TurnThread.current() is not None:
            if not self.wait(timeout):
                return predicate()
        return result


def run_virtually(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario in a loop of its own whose time is virtual."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(scenario)
        finally:
            loop.let_all_go()


async def within(of: Halting, call: Awaitable[T]) -> T:
    """What `call` comes to, as a task of this process."""
    return await asyncio.get_running_loop().create_task(awaited(call), context=of.context)


async def awaited(call: Awaitable[T]) -> T:
    return await call
