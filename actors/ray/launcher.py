"""Engines as Ray actors, each in its seat: with exactly its GPUs and CPUs, on its own machine."""

import asyncio
import logging
import os
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import psutil
from msgspec.structs import replace
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from actors.backends import process_env
from actors.engine import Engine
from actors.engine_part import EnginePart
from actors.machine import vitals
from actors.ray import seats
from actors.ray.kind import Kind
from actors.wire.calls import Gone, Unreachable, Unreached
from cluster.catalogue import Catalogue, Model
from cluster.ids import EngineId, NodeId
from cluster.liveness.silence import Vitals
from cluster.messages.machines import EngineOrder, EngineReport
from cluster.timing import Timing

logger = logging.getLogger(__name__)

# How long a process gets to begin: its environment may have to be made first, on a machine that has much else to do.
BEGIN_S = 300.0
EXIT_S = 5.0
_ASK_AGAIN_S = 0.5


class RayLauncher:
    """Launches the engines of one machine, the one it runs on."""

    def __init__(
        self,
        engines: Kind[Engine],
        catalogue: Catalogue,
        node_id: NodeId,
        ray_node_id: str,
        interval_s: float,
        timing: Timing = Timing(),
        parts: Kind[EnginePart] | None = None,
    ) -> None:
        """`parts` is what engines on several machines have on the others."""
        self._engines = engines
        self._parts = parts
        self._catalogue = catalogue
        self._node_id = node_id
        self._ray_node_id = ray_node_id
        self._interval_s = interval_s
        self._timing = timing
        self._elsewhere: set[EngineId] = set()

    async def launch(self, order: EngineOrder) -> Engine:
        model = self._catalogue.find(order.model)
        if model is None:
            raise Gone(f"model {order.model} is not in the catalogue")
        if order.adapters is not None:
            model = replace(model, adapters=order.adapters)
        place = await asyncio.to_thread(self._place, order.id) if model.books else self._here()
        await self._create(order, model, place)
        engine = self._engines.at(order.id)
        try:
            async with asyncio.timeout(BEGIN_S):
                await self._answer(engine)
        except TimeoutError:
            await asyncio.to_thread(self._engines.kill, order.id)
            raise Gone(f"no process for it within {BEGIN_S:.0f} s") from None
        return engine

    async def _create(self, order: EngineOrder, model: Model, place: object) -> None:
        """Have Ray make the actor. Who cancels this goes on once it is made, and can be ended."""
        options: dict[str, Any] = self._options(model, place)
        creating = asyncio.create_task(
            asyncio.to_thread(
                self._engines.start,
                order.id,
                order.id,
                model,
                self._node_id,
                self._interval_s,
                order.restarts,
                **options,
            )
        )
        try:
            await asyncio.shield(creating)
        except asyncio.CancelledError:
            await asyncio.wait({creating})
            raise

    async def _answer(self, engine: Engine) -> EngineReport:
        while True:
            try:
                return await engine.describe()
            except Unreached:
                await asyncio.sleep(_ASK_AGAIN_S)

    def load_timeout_s(self, model: str) -> float:
        found = self._catalogue.find(model)
        return Model.load_timeout_s if found is None else found.load_timeout_s

    async def kill(self, report: EngineReport, at_once: bool = False) -> None:
        await asyncio.to_thread(self._engines.kill, report.id)
        await asyncio.to_thread(self._kill_parts, report.id)
        if report.pid:
            await asyncio.to_thread(_end_group, report.pid, 0.0 if at_once else EXIT_S)

    async def running(self, known: Collection[EngineId]) -> Sequence[tuple[Engine, EngineReport]]:
        existing = [EngineId(key) for key in await asyncio.to_thread(self._engines.existing)]
        # Engines do not move: what runs elsewhere is asked once.
        self._elsewhere &= set(existing)
        unknown = [engine_id for engine_id in existing if engine_id not in self._elsewhere.union(known)]
        answers = await asyncio.gather(*(self._introduced(engine_id) for engine_id in unknown))
        found = [answer for answer in answers if answer is not None]
        self._elsewhere |= {report.id for _, report in found if report.node_id != self._node_id}
        return [(engine, report) for engine, report in found if report.node_id == self._node_id]

    async def _introduced(self, engine_id: EngineId) -> tuple[Engine, EngineReport] | None:
        """What this engine tells of itself, wherever it runs. One that does not answer is asked the next time."""
        engine = self._engines.at(engine_id)
        try:
            async with asyncio.timeout(self._timing.introduction_s):
                return engine, await engine.describe()
        except (Unreachable, TimeoutError) as error:
            logger.info("engine %s does not say where it runs: %s", engine_id, error)
            return None

    async def vitals(self, report: EngineReport) -> Vitals | None:
        return await asyncio.to_thread(vitals.read, report.pid) if report.pid else None

    def _kill_parts(self, engine_id: EngineId) -> None:
        """Ray ends them with their engine. What they booked is not free before they are gone."""
        if self._parts is not None:
            for key in self._parts.existing():
                if key.startswith(f"{engine_id}/"):
                    self._parts.kill(key)

    def _place(self, engine_id: EngineId) -> PlacementGroupSchedulingStrategy:
        """The engine's seat. Raises Gone when there is none here."""
        group = seats.groups().get(engine_id)
        if group is None or group.machine != self._ray_node_id:
            raise Gone("its place on this machine is gone")
        return PlacementGroupSchedulingStrategy(seats.handle(group), placement_group_bundle_index=0)

    def _here(self) -> NodeAffinitySchedulingStrategy:
        return NodeAffinitySchedulingStrategy(self._ray_node_id, soft=False)

    def _options(self, model: Model, place: object) -> dict[str, object]:
        return {
            "num_gpus": model.gpus,
            "num_cpus": model.cpus,
            "scheduling_strategy": place,
            "runtime_env": {"env_vars": process_env(model, os.cpu_count() or 1)},
        }


def _end_group(pid: int, patience_s: float) -> None:
    """End what an engine leaves behind: its backend's processes are in the group that the engine leads."""
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(pid).wait(patience_s)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
