"""The engines on one machine: started, watched and ended as the Scheduler orders."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from actors.backends.base import BackendDied
from actors.engine import Engine
from actors.wire.calls import Unreachable, tell
from cluster import clock
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineOrder, EngineReport, Hardware, NodeOrders, NodeReport

if TYPE_CHECKING:
    from actors.scheduler import Scheduler

logger = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
# A process that shares two cores with a model being loaded can be silent for long.
HANG_S = 60.0
STOP_S = 20.0


class Launcher(Protocol):
    """How engines come to run here."""

    async def launch(self, order: EngineOrder) -> Engine:
        """Start the engine's process. Raises Unreachable when there is no room for it after all."""
        ...

    async def kill(self, report: EngineReport) -> None:
        """End the engine's process and all that it started. What is gone already is no error."""
        ...

    async def running(self) -> Sequence[tuple[Engine, EngineReport]]:
        """The engines that run here already, from before this process."""
        ...


class _Replica:
    """One engine here: what it told last and when, and the task that looks after it."""

    def __init__(self, report: EngineReport) -> None:
        self.told(report)
        self.engine: Engine | None = None
        self.task: asyncio.Task[None] | None = None

    def told(self, report: EngineReport) -> None:
        self.report = report
        self._told_s = clock.monotonic_s()

    def failed(self, message: str) -> None:
        self.told(msgspec.structs.replace(self.report, state="failed", message=message))

    def current(self) -> EngineReport:
        """The last report, with its age."""
        return msgspec.structs.replace(self.report, age_s=clock.monotonic_s() - self._told_s)


class Node:
    """Sole owner of the engines on its machine. Its heartbeat tells all of them, each time."""

    def __init__(self, node_id: NodeId, hardware: Hardware, scheduler: "Scheduler", launcher: Launcher) -> None:
        self._id = node_id
        self._hardware = hardware
        self._scheduler = scheduler
        self._launcher = launcher
        self._replicas: dict[EngineId, _Replica] = {}
        self._draining = False
        self._changed = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take over the engines that run here already, then begin to report."""
        for engine, report in await self._launcher.running():
            replica = self._replicas[report.id] = _Replica(report)
            replica.engine = engine
            self._look_after(replica, loaded=report.state == "ready")
        self._beating = asyncio.create_task(self._beat_forever())

    async def stop(self) -> None:
        """Stop every engine here."""
        if self._beating is not None:
            self._beating.cancel()
        await asyncio.gather(*(self._stop_engine(engine_id) for engine_id in list(self._replicas)))

    async def describe(self) -> NodeReport:
        """What the next heartbeat says."""
        engines = tuple(replica.current() for replica in self._replicas.values())
        return NodeReport(self._id, self._hardware, engines, self._draining)

    async def apply(self, orders: NodeOrders) -> None:
        """Start what is missing, stop what is not ordered, and remember whether this node is being drained."""
        self._draining = orders.draining
        wanted = {order.id: order for order in orders.engines}
        for engine_id in self._replicas.keys() - wanted.keys():
            # Not waited for: a backend may take longer to stop than a heartbeat may be late.
            tell(self._stop_engine(engine_id), f"stopping {engine_id}")
        for engine_id in wanted.keys() - self._replicas.keys():
            self._start_engine(wanted[engine_id])

    async def _beat_forever(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self.apply(await self._scheduler.report(await self.describe()))
            except Unreachable as error:
                logger.warning("heartbeat: %s", error)
            except Exception:
                # Whatever it was, the machine is still there, and so are its engines.
                logger.exception("a heartbeat failed")
            await self._pause()

    async def _pause(self) -> None:
        """Until the next heartbeat is due, or there is news."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._changed.wait()
        except TimeoutError:
            return

    def _start_engine(self, order: EngineOrder) -> None:
        replica = _Replica(EngineReport(order.id, order.model, self._id, "starting"))
        self._replicas[order.id] = replica
        replica.task = asyncio.create_task(self._launch(replica, order))

    def _look_after(self, replica: _Replica, loaded: bool) -> None:
        replica.task = asyncio.create_task(self._watch(replica) if loaded else self._load(replica))

    async def _launch(self, replica: _Replica, order: EngineOrder) -> None:
        try:
            replica.engine = await self._launcher.launch(order)
        except Unreachable as error:
            self._give_up(replica, str(error))
            return
        await self._load(replica)

    async def _load(self, replica: _Replica) -> None:
        """Load the model, then watch the engine; keep why it failed."""
        assert replica.engine is not None
        try:
            replica.told(await replica.engine.describe())
            replica.told(await replica.engine.load())
        except (BackendDied, Unreachable) as error:
            self._give_up(replica, str(error))
            return
        self._changed.set()
        await self._watch(replica)

    async def _watch(self, replica: _Replica) -> None:
        """Until the engine dies; then it vanishes from the reports."""
        assert replica.engine is not None
        try:
            while True:
                async with asyncio.timeout(HANG_S):
                    replica.told(await replica.engine.describe())
                await asyncio.sleep(HEARTBEAT_S)
        except (Unreachable, TimeoutError) as error:
            logger.warning("engine %s is gone: %s", replica.report.id, error)
        self._replicas.pop(replica.report.id, None)
        self._changed.set()
        await self._launcher.kill(replica.report)

    def _give_up(self, replica: _Replica, reason: str) -> None:
        logger.warning("engine %s failed: %s", replica.report.id, reason)
        replica.failed(reason)
        self._changed.set()

    async def _stop_engine(self, engine_id: EngineId) -> None:
        replica = self._replicas.pop(engine_id, None)
        if replica is None:
            return
        if replica.task is not None:
            replica.task.cancel()
        if replica.engine is not None and replica.report.state != "failed":
            await self._ask_to_stop(replica.engine, engine_id)
        await self._launcher.kill(replica.report)

    async def _ask_to_stop(self, engine: Engine, engine_id: EngineId) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await engine.stop()
        except (Unreachable, TimeoutError) as error:
            logger.warning("engine %s did not stop by itself: %s", engine_id, error)
