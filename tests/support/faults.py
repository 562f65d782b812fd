"""What can go wrong between processes and with the database, as values: a plan of faults can be printed and replayed.

`FaultyLinks` are the ways between processes on which calls and streams suffer what has been ordered for them.
`FaultyDatabase` is what happens to SQLAlchemy's transactions, whoever makes them.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from random import Random
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, get_args

from msgspec import Struct
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from actors.wire.calls import Unreached
from tests.support.plain_processes import Link, Links

T = TypeVar("T")

CallFault = Literal["fail_before", "fail_after", "delay_before", "delay_after", "duplicate", "reorder"]
"""Of one call: nothing is done, and it fails; it is done, and fails; it, or its answer, comes late; it is made twice;
the next call on its way overtakes it."""

StreamFault = Literal["break", "stall"]
"""Of one stream, at one frame: it breaks; nothing comes for a while."""

LinkFault = Literal["cut"]
"""Of all calls and streams between two kinds of process, for a while."""

ProcessFault = Literal["kill", "hang", "hang_and_kill", "replace", "skew"]
"""Of one process: it dies, and is back after a while; it stands still for a while; it stands still, then dies; it
stands still, another one takes its name, then it goes on; its wall clock is set."""

Order = Literal["drain"]
"""No fault: a node is drained, and taken back after a while."""

DatabaseFault = Literal["away", "frozen", "commit_fails", "commit_unknown"]
"""It refuses everything for a while; it answers nothing for a while; one commit fails; one is made, and says that it
failed."""

FaultKind = CallFault | StreamFault | LinkFault | ProcessFault | DatabaseFault | Order

CALL_FAULTS: tuple[CallFault, ...] = get_args(CallFault)
STREAM_FAULTS: tuple[StreamFault, ...] = get_args(StreamFault)
PROCESS_FAULTS: tuple[ProcessFault, ...] = get_args(ProcessFault)
DATABASE_FAULTS: tuple[DatabaseFault, ...] = get_args(DatabaseFault)

OVERTAKEN_WITHIN_S = 1.0


class Fault(Struct, frozen=True):
    """What happens to what, `at_s` seconds after the beginning, and for how long.

    `target` is a process (`journal`, `engine/1`: the second one there is) or the whole `system`, a pair of processes
    (`scheduler>engine`), a method of one as another calls it (`scheduler>engine.generate`, `scheduler>engine.*`), or
    the `database`. Of a call or a stream it is the next one that suffers.
    """

    at_s: float
    kind: FaultKind
    target: str
    for_s: float = 0.0

    @property
    def name(self) -> str:
        """What it is, without when."""
        return f"{self.kind} {self.target}"

    def __str__(self) -> str:
        return f"{self.at_s:7.3f} s  {self.name}" + (f"  {self.for_s:.2f} s" if self.for_s else "")


class FaultyLinks(Links):
    """Ways on which everything takes a moment, and on which what was ordered goes wrong."""

    def __init__(self, chance: Random, injected: Counter[str]) -> None:
        """What has gone wrong is counted in `injected`, by `Fault.name`."""
        self.travelled: Counter[str] = Counter()
        """How many calls and frames went which way."""
        self._chance = chance
        self._injected = injected
        self._calls: list[Fault] = []
        self._streams: list[Fault] = []
        self._cut_until_s: dict[str, float] = {}
        self._overtaken: dict[tuple[str, str], list[asyncio.Event]] = {}

    def order(self, fault: Fault) -> None:
        """Let this happen to the next call or stream that it is meant for, or to all between two processes now."""
        if fault.kind in CALL_FAULTS:
            self._calls.append(fault)
        elif fault.kind in STREAM_FAULTS:
            self._streams.append(fault)
        else:
            self._cut_until_s[fault.target] = self._now_s() + fault.for_s

    def end(self) -> None:
        """From now on nothing goes wrong."""
        self._calls.clear()
        self._streams.clear()
        self._cut_until_s.clear()

    async def call(self, link: Link, effect: Callable[[], Awaitable[Any]]) -> Any:
        self.travelled[str(link)] += 1
        fault = self._take(self._calls, link)
        await asyncio.sleep(self._latency_s())
        if link.callee == "engine":
            self._unless_cut(link)
        else:
            # A call to an actor that comes back is repeated until it arrives.
            await asyncio.sleep(self._cut_for_s(link))
        try:
            return await (effect() if fault is None else self._suffer(fault, link, effect))
        finally:
            self._overtake(link)

    async def frame(self, link: Link, frame: T) -> T:
        self.travelled[str(link)] += 1
        self._unless_cut(link)
        fault = self._take(self._streams, link)
        if fault is not None and fault.kind == "break":
            raise lost(link)
        await asyncio.sleep(self._latency_s() if fault is None else fault.for_s)
        return frame

    async def _suffer(self, fault: Fault, link: Link, effect: Callable[[], Awaitable[Any]]) -> Any:
        match fault.kind:
            case "fail_before":
                raise lost(link)
            case "fail_after":
                await effect()
                raise lost(link)
            case "delay_before":
                await asyncio.sleep(fault.for_s)
            case "duplicate":
                again = asyncio.create_task(_later(fault.for_s, effect))
                again.add_done_callback(_note_error)
            case "reorder":
                await self._until_overtaken(link)
        result = await effect()
        if fault.kind == "delay_after":
            await asyncio.sleep(fault.for_s)
        return result

    def _take(self, ordered: list[Fault], link: Link) -> Fault | None:
        if not ordered:
            return None
        way = str(link)
        for fault in ordered:
            if fnmatchcase(way, fault.target):
                ordered.remove(fault)
                self._injected[f"{fault.kind} {way}"] += 1
                return fault
        return None

    def _unless_cut(self, link: Link) -> None:
        if self._cut_for_s(link):
            raise lost(link)

    def _cut_for_s(self, link: Link) -> float:
        return max(0.0, self._cut_until_s.get(f"{link.caller}>{link.callee}", 0.0) - self._now_s())

    async def _until_overtaken(self, link: Link) -> None:
        overtaken = asyncio.Event()
        waiting = self._overtaken.setdefault((link.caller, link.callee), [])
        waiting.append(overtaken)
        with suppress(TimeoutError):
            async with asyncio.timeout(OVERTAKEN_WITHIN_S):
                await overtaken.wait()

    def _overtake(self, link: Link) -> None:
        for overtaken in self._overtaken.pop((link.caller, link.callee), ()):
            overtaken.set()

    def _latency_s(self) -> float:
        return self._chance.random() * 0.002

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


class FaultyDatabase:
    """Lets every transaction of every database go wrong, as ordered, while it is entered."""

    def __init__(self, injected: Counter[str]) -> None:
        self._injected = injected
        self.away = False
        self._commits: list[Literal["commit_fails", "commit_unknown"]] = []

    def __enter__(self) -> Self:
        event.listen(Engine, "begin", self._begin)
        event.listen(Engine, "commit", self._commit)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        event.remove(Engine, "begin", self._begin)
        event.remove(Engine, "commit", self._commit)

    def order(self, commit: Literal["commit_fails", "commit_unknown"]) -> None:
        """Let this happen to the next commit."""
        self._commits.append(commit)

    def end(self) -> None:
        """From now on nothing goes wrong."""
        self.away = False
        self._commits.clear()

    def _begin(self, connection: Connection) -> None:
        if self.away:
            raise _database_error("BEGIN", "it cannot be reached")

    def _commit(self, connection: Connection) -> None:
        if not self._commits:
            return
        commit = self._commits.pop(0)
        self._injected[f"{commit} database"] += 1
        if commit == "commit_unknown":
            connection.connection.commit()
        raise _database_error("COMMIT", "the connection broke")


def lost(link: Link) -> Exception:
    """What a caller is told when its call, or the answer, was lost."""
    return Unreached(f"{link} was lost on its way")


def _database_error(statement: str, reason: str) -> OperationalError:
    return OperationalError(statement, None, ConnectionError(reason))


async def _later(seconds: float, effect: Callable[[], Awaitable[Any]]) -> None:
    await asyncio.sleep(seconds)
    await effect()


def _note_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
