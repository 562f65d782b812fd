"""The engines on one machine: started, watched and ended as the Scheduler orders."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from actors.backends.base import BackendDied
from actors.engine import Engine
from actors.wire.calls import Unreachable, tell
from actors.wire.every import Every
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.ids import EngineId, NodeId
from cluster.messages.machines import EngineOrder, EngineReport, Hardware, NodeOrders, NodeReport
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.scheduler import Scheduler

logger = logging.getLogger(__name__)


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
    """One engine here: its last report and when that came, and the task that looks after it."""

    def __init__(self, report: EngineReport, clock: Clock) -> None:
        self._clock = clock
        self.update(report)
        self.engine: Engine | None = None
        self.task: asyncio.Task[None] | None = None

    def update(self, report: EngineReport) -> None:
        self.report = report
        self._reported_s = self._clock.monotonic_s()

    def fail(self, message: str) -> None:
        self.update(msgspec.structs.replace(self.report, state="failed", message=message))

    def current(self) -> EngineReport:
        """The last report, with its age."""
        return msgspec.structs.replace(self.report, age_s=self._clock.monotonic_s() - self._reported_s)


class NodeAgent:
    """Sole owner of the engines on its machine. Each heartbeat reports all of them."""

    def __init__(
        self,
        node_id: NodeId,
        hardware: Hardware,
        scheduler: "Scheduler",
        launcher: Launcher,
        clock: Clock = SYSTEM_CLOCK,
        timing: Timing = Timing(),
    ) -> None:
        self._id = node_id
        self._hardware = hardware
        self._scheduler = scheduler
        self._launcher = launcher
        self._clock = clock
        self._timing = timing
        self._replicas: dict[EngineId, _Replica] = {}
        self._draining = False
        self._heartbeat = Every(timing.heartbeat_s, self._beat, "heartbeat")

    async def start(self) -> None:
        """Take over the engines that run here already, then begin to report."""
        for engine, report in await self._launcher.running():
            replica = self._replicas[report.id] = _Replica(report, self._clock)
            replica.engine = engine
            self._look_after(replica, loaded=report.state == "ready")
        self._heartbeat.start()

    async def stop(self) -> None:
        """Stop every engine here."""
        self._heartbeat.stop()
        await asyncio.gather(*(self._stop_engine(engine_id) for engine_id in list(self._replicas)))

    async def abandon(self) -> None:
        """Leave the engines running, without a report of them: what the death of this process does."""
        self._heartbeat.stop()
        for replica in self._replicas.values():
            if replica.task is not None:
                replica.task.cancel()

    async def describe(self) -> NodeReport:
        """What the next heartbeat reports."""
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

    async def _beat(self) -> None:
        await self.apply(await self._scheduler.report(await self.describe()))

    def _start_engine(self, order: EngineOrder) -> None:
        replica = _Replica(EngineReport(order.id, order.model, self._id, "starting"), self._clock)
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
            replica.update(await replica.engine.describe())
            replica.update(await replica.engine.load())
        except (BackendDied, Unreachable) as error:
            self._give_up(replica, str(error))
            return
        self._heartbeat.hasten()
        await self._watch(replica)

    async def _watch(self, replica: _Replica) -> None:
        """Until the engine dies; then it vanishes from the reports."""
        assert replica.engine is not None
        try:
            while True:
                async with asyncio.timeout(self._timing.hang_s):
                    replica.update(await replica.engine.describe())
                await asyncio.sleep(self._timing.heartbeat_s)
        except (Unreachable, TimeoutError) as error:
            logger.warning("engine %s is gone: %s", replica.report.id, error)
        self._replicas.pop(replica.report.id, None)
        self._heartbeat.hasten()
        await self._launcher.kill(replica.report)

    def _give_up(self, replica: _Replica, reason: str) -> None:
        logger.warning("engine %s failed: %s", replica.report.id, reason)
        replica.fail(reason)
        self._heartbeat.hasten()

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
            async with asyncio.timeout(self._timing.engine_stop_s):
                await engine.stop()
        except (Unreachable, TimeoutError) as error:
            logger.warning("engine %s did not stop by itself: %s", engine_id, error)
