"""The engines on one machine: started, watched and ended as the Scheduler orders."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence, Set
from typing import TYPE_CHECKING, Protocol

import msgspec

from actors.backends.base import BackendDied
from actors.engine import Engine
from actors.supervising.engine_watch import EngineWatch, Hangs, Processes
from actors.wire.calls import Gone, Unreachable, tell
from actors.wire.every import Every
from cluster.catalogue import Adapter
from cluster.clock import SYSTEM_CLOCK, Clock
from cluster.ids import EngineId, NodeId, new_holder_id
from cluster.messages.machines import EngineOrder, EngineReport, GpuLoad, Hardware, NodeOrders, NodeReport
from cluster.timing import Timing

if TYPE_CHECKING:
    from actors.machine.spot_watch import SpotWatch
    from actors.scheduler import Scheduler

logger = logging.getLogger(__name__)


class Launcher(Processes, Protocol):
    """How engines come to run here."""

    async def launch(self, order: EngineOrder) -> Engine:
        """Start the engine's process. Raises Gone when there is no room for it after all.

        Cancelled, it leaves a process that `kill` ends, or none; never one that comes up later.
        """
        ...

    def load_timeout_s(self, model: str) -> float:
        """How long an engine of this model gets to load."""
        ...

    async def kill(self, report: EngineReport, at_once: bool = False) -> None:
        """End the engine's process and all that it started. What is gone already is no error.

        One that may still end by itself is given a moment, unless it is to be `at_once`.
        """
        ...

    async def running(self, known: Collection[EngineId]) -> Sequence[tuple[Engine, EngineReport]]:
        """The engines that run here and are not among the known ones, as far as they answer."""
        ...


class _Replica:
    """One engine here: its last report and when that came, and the task that looks after it."""

    def __init__(self, report: EngineReport, clock: Clock) -> None:
        self._clock = clock
        self.update(report)
        self.engine: Engine | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_told = False
        """It is being told of adapters."""

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
        on_superseded: Callable[[], None] = lambda: None,
        spot_watch: "SpotWatch | None" = None,
        look_for_weights: Callable[[], Sequence[str]] = tuple,
        gpu_loads: Callable[[], Sequence[GpuLoad]] | None = None,
    ) -> None:
        self._id = node_id
        self._hardware = hardware
        self._scheduler = scheduler
        self._launcher = launcher
        self._clock = clock
        self._timing = timing
        self._on_superseded = on_superseded
        self._spot_watch = spot_watch
        self._look_for_weights = look_for_weights
        self._cached: tuple[str, ...] | None = None
        self._read_gpu_loads = gpu_loads
        self._gpu_loads: tuple[GpuLoad, ...] = ()
        self._replicas: dict[EngineId, _Replica] = {}
        self._stopping: set[EngineId] = set()
        self._draining = False
        self._agent = new_holder_id()
        self._begins = True
        # Whether the engines that ran here before this process have been asked.
        self._complete = False
        self._heartbeat = Every(timing.heartbeat_s, self._beat, "heartbeat")
        self._reconciling = Every(timing.reconcile_s, self._reconcile, "looking for engines")
        self._looking_at_gpus = Every(timing.heartbeat_s, self._look_at_gpus, "looking at the GPUs")

    async def start(self) -> None:
        """Begin to report, and take over the engines that run here already."""
        self._heartbeat.start()
        self._reconciling.start()
        if self._read_gpu_loads is not None:
            self._looking_at_gpus.start()
        tell(self._note_weights(), "looking for weights")
        if self._spot_watch is not None:
            self._spot_watch.start()

    async def stop(self) -> None:
        """Stop every engine here."""
        self._stop_looking()
        await asyncio.gather(*(self._stop_engine(engine_id) for engine_id in list(self._replicas)))

    async def abandon(self) -> None:
        """Leave the engines running, without a report of them: what the death of this process does."""
        self._stop_looking()
        for replica in self._replicas.values():
            if replica.task is not None:
                replica.task.cancel()

    def _stop_looking(self) -> None:
        self._heartbeat.stop()
        self._reconciling.stop()
        self._looking_at_gpus.stop()
        if self._spot_watch is not None:
            self._spot_watch.stop()

    async def describe(self) -> NodeReport:
        """What the next heartbeat reports."""
        engines = tuple(replica.current() for replica in self._replicas.values())
        return NodeReport(
            self._id,
            self._hardware,
            engines,
            self._draining,
            self._complete,
            self._agent,
            self._begins,
            tuple(self._stopping),
            self._cached,
            self._gpu_loads,
        )

    async def apply(self, orders: NodeOrders, reported: Set[EngineId]) -> None:
        """Start what is missing, stop what was `reported` and is not ordered, and remember whether this node drains.

        What runs here has to be known first: an engine that is ordered may run already. What has been found since the
        report is not stopped: who ordered did not know of it, and an answer may take long.
        """
        self._draining = orders.draining
        if not self._complete:
            return
        wanted = {order.id: order for order in orders.engines}
        for engine_id in (self._replicas.keys() & reported) - wanted.keys():
            # Not waited for: a backend may take longer to stop than a heartbeat may be late.
            tell(self._stop_engine(engine_id), f"stopping {engine_id}")
        for engine_id in wanted.keys() - self._replicas.keys():
            self._start_engine(wanted[engine_id])
        for engine_id in wanted.keys() & self._replicas.keys():
            self._tell_adapters(self._replicas[engine_id], wanted[engine_id].adapters)

    async def _beat(self) -> None:
        report = await self.describe()
        orders = await self._scheduler.report(report)
        self._begins = False
        if orders.superseded:
            logger.error("another NodeAgent has begun here: this one does nothing more")
            await self.abandon()
            self._on_superseded()
        else:
            await self.apply(orders, {engine.id for engine in report.engines})

    async def _reconcile(self) -> None:
        """Take over the engines that run here and are not known: from before this process, or left behind.

        The next orders say whether they are wanted.
        """
        for engine, report in await self._launcher.running([*self._replicas, *self._stopping]):
            if report.id not in self._replicas and report.id not in self._stopping:
                replica = self._replicas[report.id] = _Replica(report, self._clock)
                replica.engine = engine
                work = self._watch if report.state == "ready" else self._load
                replica.task = asyncio.create_task(work(replica, engine))
        if not self._complete:
            self._complete = True
            self._heartbeat.hasten()

    async def _look_at_gpus(self) -> None:
        """Find out what the GPUs are used for. The driver may take its time, and no heartbeat waits for it."""
        assert self._read_gpu_loads is not None
        self._gpu_loads = tuple(await asyncio.to_thread(self._read_gpu_loads))

    async def _note_weights(self) -> None:
        """Find out which models' weights this machine has, for the reports from now on."""
        self._cached = tuple(await asyncio.to_thread(self._look_for_weights))

    def _start_engine(self, order: EngineOrder) -> None:
        replica = _Replica(EngineReport(order.id, order.model, self._id, "starting"), self._clock)
        self._replicas[order.id] = replica
        replica.task = asyncio.create_task(self._launch(replica, order))

    def _tell_adapters(self, replica: _Replica, adapters: Sequence[Adapter] | None) -> None:
        """Have it know these. It is told again and again until it has said what it makes of each."""
        if adapters is None or replica.engine is None or replica.report.state != "ready" or replica.is_told:
            return
        replica.is_told = True
        tell(self._have_adapt(replica, replica.engine, adapters), f"telling {replica.report.id} of adapters")

    async def _have_adapt(self, replica: _Replica, engine: Engine, adapters: Sequence[Adapter]) -> None:
        try:
            replica.update(await engine.adapt(adapters))
        finally:
            replica.is_told = False
        self._heartbeat.hasten()

    async def _launch(self, replica: _Replica, order: EngineOrder) -> None:
        try:
            replica.engine = await self._launcher.launch(order)
        except Unreachable as error:
            self._give_up(replica, str(error))
        except Exception as error:
            logger.exception("starting engine %s", order.id)
            self._give_up(replica, f"its process could not be started ({type(error).__name__})")
        else:
            await self._load(replica, replica.engine)

    async def _load(self, replica: _Replica, engine: Engine) -> None:
        """Load the model, then watch the engine; keep why it failed."""
        limit_s = self._launcher.load_timeout_s(replica.report.model)
        try:
            async with asyncio.timeout(limit_s):
                replica.update(await self._loaded(replica, engine))
        except TimeoutError:
            self._give_up(replica, f"it did not load within {limit_s:g} s")
            return
        except (BackendDied, Gone) as error:
            self._give_up(replica, str(error))
            return
        finally:
            # It may have brought them, even where it failed in the end.
            tell(self._note_weights(), "looking for weights")
        self._heartbeat.hasten()
        await self._watch(replica, engine)

    async def _loaded(self, replica: _Replica, engine: Engine) -> EngineReport:
        while True:
            try:
                replica.update(await engine.describe())
                return await self._follow_load(replica, engine)
            except Gone:
                raise
            except Unreachable as error:
                logger.warning("engine %s: %s; asking again", replica.report.id, error)
                await asyncio.sleep(self._timing.heartbeat_s)

    async def _follow_load(self, replica: _Replica, engine: Engine) -> EngineReport:
        """Have the engine load. What it tells of that meanwhile is in the reports."""
        loading = asyncio.ensure_future(engine.load())
        try:
            while not (await asyncio.wait({loading}, timeout=self._timing.heartbeat_s))[0]:
                describing = asyncio.ensure_future(engine.describe())
                await asyncio.wait({loading, describing}, return_when=asyncio.FIRST_COMPLETED)
                if describing.done():
                    replica.update(describing.result())
                describing.cancel()
            return loading.result()
        finally:
            loading.cancel()

    async def _watch(self, replica: _Replica, engine: Engine) -> None:
        """Until the engine dies or hangs; then it vanishes from the reports."""
        watch = EngineWatch(engine, self._launcher, self._clock, self._timing)
        hangs = False
        try:
            while True:
                replica.update(await watch.report(replica.report))
                await asyncio.sleep(self._timing.heartbeat_s)
        except Gone as error:
            logger.warning("engine %s is gone: %s", replica.report.id, error)
        except Hangs as error:
            logger.warning("engine %s hangs and is ended: %s", replica.report.id, error)
            hangs = True
        # Its jobs go on elsewhere before it has ended.
        self._replicas.pop(replica.report.id, None)
        self._heartbeat.hasten()
        await self._end(replica, at_once=hangs)

    def _give_up(self, replica: _Replica, reason: str) -> None:
        logger.warning("engine %s failed: %s", replica.report.id, reason)
        replica.fail(reason)
        self._heartbeat.hasten()

    async def _stop_engine(self, engine_id: EngineId) -> None:
        replica = self._replicas.pop(engine_id, None)
        if replica is None:
            return
        self._stopping.add(engine_id)
        if replica.task is not None:
            replica.task.cancel()
            await asyncio.wait({replica.task})
        if replica.engine is not None and replica.report.state != "failed":
            await self._ask_to_stop(replica.engine, engine_id)
        await self._end(replica)

    async def _end(self, replica: _Replica, at_once: bool = False) -> None:
        """End the engine's process, which is not to be taken over meanwhile."""
        engine_id = replica.report.id
        self._stopping.add(engine_id)
        try:
            await self._launcher.kill(replica.report, at_once)
        finally:
            self._stopping.discard(engine_id)
            self._heartbeat.hasten()

    async def _ask_to_stop(self, engine: Engine, engine_id: EngineId) -> None:
        try:
            async with asyncio.timeout(self._timing.engine_stop_s):
                await engine.stop()
        except (Unreachable, TimeoutError) as error:
            logger.warning("engine %s did not stop by itself: %s", engine_id, error)
