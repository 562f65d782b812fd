"""Engines as Ray actors, each with exactly its GPUs and CPUs on its own machine."""

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psutil
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.backends import process_env
from actors.engine import Engine
from actors.ray.kind import Kind
from actors.wire.calls import Unreachable
from cluster.catalogue import Catalogue, Model
from cluster.ids import NodeId
from cluster.messages.machines import EngineOrder, EngineReport
from cluster.release import fingerprint

logger = logging.getLogger(__name__)

ROOM_S = 60.0
EXIT_S = 5.0


class RayLauncher:
    """Launches the engines of one machine, the one it runs on."""

    def __init__(
        self,
        engines: Kind[Engine],
        catalogue: Catalogue,
        node_id: NodeId,
        ray_node_id: str,
        interval_s: float,
    ) -> None:
        self._engines = engines
        self._catalogue = catalogue
        self._node_id = node_id
        self._ray_node_id = ray_node_id
        self._interval_s = interval_s

    async def launch(self, order: EngineOrder) -> Engine:
        model = self._catalogue.find(order.model)
        if model is None:
            raise Unreachable(f"model {order.model} is not in the catalogue")
        options: dict[str, Any] = self._options(model)
        await asyncio.to_thread(
            self._engines.start, order.id, order.id, model, self._node_id, self._interval_s, **options
        )
        engine = self._engines.at(order.id)
        try:
            async with asyncio.timeout(ROOM_S):
                await engine.describe()
        except TimeoutError:
            await asyncio.to_thread(self._engines.kill, order.id)
            raise Unreachable(f"no process for it within {ROOM_S:.0f} s: something else holds the room") from None
        return engine

    async def kill(self, report: EngineReport) -> None:
        await asyncio.to_thread(self._engines.kill, report.id)
        if report.pid:
            await asyncio.to_thread(_end_group, report.pid)

    async def running(self) -> Sequence[tuple[Engine, EngineReport]]:
        found = []
        for engine_id in await asyncio.to_thread(self._engines.existing):
            engine = self._engines.at(engine_id)
            try:
                report = await engine.describe()
            except Unreachable as error:
                logger.info("not taken over: %s", error)
                continue
            if report.node_id == self._node_id:
                found.append((engine, report))
        return found

    def _options(self, model: Model) -> dict[str, object]:
        return {
            "made_of": fingerprint(*model.of_engine),
            "num_gpus": model.gpus,
            "num_cpus": model.cpus,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(self._ray_node_id, soft=False),
            "runtime_env": {"env_vars": process_env(model, os.cpu_count() or 1)},
        }


def _end_group(pid: int) -> None:
    """End what an engine leaves behind: its backend's processes are in the group that the engine leads."""
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(pid).wait(EXIT_S)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
