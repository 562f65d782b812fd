"""The parts of an engine on its further machines, each an actor in its bundle of the engine's seat.

They are the engine process's own actors, and not detached: Ray ends them when that process is gone, whatever ended it.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, as_completed, wait
from threading import Thread
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.backends import process_env
from actors.backends.base import Place
from actors.engine_part import EnginePart
from actors.ray import seats
from actors.ray.kind import Kind
from actors.ray.remote import NAMESPACE
from actors.telemetry import observing
from cluster.catalogue import Model
from cluster.ids import EngineId, node_id

logger = logging.getLogger(__name__)

_CONCURRENT_CALLS = 8
# A part that has to be killed may leave files and shared memory.
_STOP_S = 5.0


class RayParts:
    """The parts of one engine, in whose process this is. `first` is the engine's own place."""

    def __init__(self, kind: Kind[EnginePart], engine_id: EngineId, model: Model, first: Place) -> None:
        self._kind = kind
        self._engine_id = engine_id
        self._model = model
        self._first = first
        # Ray ends an actor of which nobody has a handle.
        self._actors: list[Any] = []

    def begin(self, lost: Callable[[str], None]) -> None:
        Thread(target=self._run, args=(lost,), name="parts", daemon=True).start()

    def end(self) -> None:
        stopping = [actor.call.remote("stop").future() for actor in self._actors]
        wait(stopping, timeout=_STOP_S)
        for actor in self._actors:
            ray.kill(actor)

    def _run(self, lost: Callable[[str], None]) -> None:
        try:
            reason = self._first_end()
        except Exception as error:
            logger.exception("the parts of %s", self._engine_id)
            reason = f"its parts could not be started ({type(error).__name__})"
        lost(reason)

    def _first_end(self) -> str:
        """Start all parts, and wait until the first of them has ended. Returns why it has."""
        group = seats.groups().get(self._engine_id)
        if group is None or len(group.machines) != self._model.machines:
            return "its places on further machines are gone"
        machine_of: dict[Future[str], str] = {}
        for rank, machine in enumerate(group.further, start=1):
            place = PlacementGroupSchedulingStrategy(seats.handle(group), placement_group_bundle_index=rank)
            actor = self._start(rank, place)
            self._actors.append(actor)
            machine_of[actor.call.remote("run").future()] = machine
        ended = next(as_completed(machine_of))
        return f"its part on {node_id(machine_of[ended])}: {_reason(ended)}"

    def _start(self, rank: int, place: PlacementGroupSchedulingStrategy) -> Any:
        model = self._model
        args = (self._engine_id, model, rank, self._first.meeting_address, self._first.meeting_port)
        # As many threads as here: a seat's machines are alike.
        env = process_env(model, os.cpu_count() or 1)
        actor_class = self._kind.actor_class().options(
            name=self._kind.full_name(f"{self._engine_id}/{rank}"),
            namespace=NAMESPACE,
            max_concurrency=_CONCURRENT_CALLS,
            num_gpus=model.gpus,
            num_cpus=model.cpus,
            scheduling_strategy=place,
            runtime_env={"env_vars": env},
        )
        return actor_class.remote(self._kind.made_of(*args), observing.mine(), *args)


def _reason(ended: Future[str]) -> str:
    try:
        return ended.result()
    except RayError:
        return "its process is gone"
